// Products of matrices of which both are computed: right matrices are packed, some at a time, then multiplied with their left ones.
#include "product.hpp"

#include <algorithm>
#include <cstring>

namespace espdl {

namespace {

constexpr std::size_t kPackedBytes = 1 << 20;  // of right matrices packed together, where one alone is not larger
constexpr std::size_t kPanelBytes = 24 << 10;  // of gathered inputs: they stay in the first cache beside the weights
constexpr std::size_t kBlockRows = 24;         // a multiple of the heights of tall tiles
constexpr double kPackedPerNanosecond = 2;     // elements of a right matrix
constexpr std::int64_t kSumLimit = 0x7fffffff;

// Largest magnitude of an element.
std::int64_t largest(bool narrow) { return narrow ? 128 : 32768; }

// Shift, rounding and limits of the columns, as if the largest weights there are were in the right matrix.
Filter worst_filter(const Product& p) {
  Filter filter{};
  filter.height = filter.width = 1;
  filter.channels = p.depth;
  filter.outputs = p.columns;
  filter.narrow_weights = p.narrow_right;
  filter.narrow_inputs = p.narrow_left;
  filter.narrow_outputs = p.narrow_outputs;
  filter.bias.assign(p.columns, 0);
  filter.shift = p.shift;
  filter.half_even = p.half_even;
  filter.relu = p.relu;
  filter.magnitudes.assign(p.columns, static_cast<std::int64_t>(p.depth) * largest(p.narrow_right));
  return filter;
}

class ProductStep : public Step {
 public:
  ProductStep(Product product, const MacIsa& isa, const void* a, const void* b, void* out, std::atomic<std::uint32_t>* differing)
      : product_(std::move(product)),
        isa_(isa),
        a_(static_cast<const std::byte*>(a)),
        b_(static_cast<const std::byte*>(b)),
        out_(static_cast<std::byte*>(out)),
        differing_(differing),
        watch_(product_) {
    const Product& p = product_;
    const Filter filter = worst_filter(p);
    choose_form(filter);
    lay_out();
    finish_.resize(lanes());
    if (store_ == Store::sums) {
      for (const ChannelPanel& panel : shape_.panels) {
        const auto begin = p.shift.begin() + static_cast<std::ptrdiff_t>(panel.first);
        requantizers_.emplace_back(std::vector<std::int64_t>{}, std::vector<std::int64_t>(begin, begin + static_cast<std::ptrdiff_t>(panel.channels)),
                                   panel.channels, p.half_even, p.relu, filter.bound());
      }
    } else {
      for (std::size_t lane = 0; lane < lanes(); ++lane) {
        if (shape_.channel[lane] != PackedShape::kNoChannel) finish_.set(lane, filter, shape_.channel[lane], 0);
      }
    }
    for (std::size_t result = 0; result < p.pairs.size(); ++result) results_.push_back({p.pairs[result].second, p.pairs[result].first, result});
    std::stable_sort(results_.begin(), results_.end(), [](const Result& x, const Result& y) { return x.right < y.right; });
    make_room();
    geometry_ = {1, p.rows, p.depth, 1, p.rows, 1, 1, 1, 1, 1, 1, 0, 0};
    rows_ = std::min({std::max(kPanelBytes / stride(), kBlockRows), std::size_t{480}, p.rows});
    if (rows_ > kBlockRows) rows_ -= rows_ % kBlockRows;
  }

  void run(Pool& pool) override {
    const Product& p = product_;
    for (std::size_t begin = 0; begin < results_.size();) {
      std::size_t end = begin, slots = 0;
      while (end < results_.size()) {
        if (end == begin || results_[end].right != results_[end - 1].right) {
          if (slots == safe_inputs_.size()) break;
          ++slots;
        }
        results_[end++].slot = slots - 1;
      }
      const auto elements = static_cast<double>(slots * p.depth * p.columns);
      const auto macs = static_cast<double>(end - begin) * static_cast<double>(p.rows * p.depth * p.columns);
      const double nanoseconds = elements / kPackedPerNanosecond + macs * shape_.planes / kMacsPerNanosecond;
      multiply(begin, end, nanoseconds > kSplitAboveNanoseconds ? pool : alone_, slots);
      begin = end;
    }
  }

 private:
  struct Result {
    std::size_t right, left, index, slot = 0;
  };

  // Bytes or words, planes, and how many groups can be added up in 32 bits.
  void choose_form(const Filter& filter) {
    const Product& p = product_;
    const std::int64_t product_limit = largest(p.narrow_left) * largest(p.narrow_right);
    const bool fits = static_cast<std::int64_t>(p.depth) <= kSumLimit / product_limit;
    bytes_ = isa_.bytes && p.narrow_left && p.narrow_right && fits;
    const std::size_t group_taps = bytes_ ? 4 : 2;
    shape_.depth = p.depth;
    shape_.vector_lanes = static_cast<std::size_t>(isa_.lanes);
    shape_.is_apart = bytes_ ? isa_.bytes_apart : isa_.words_apart;
    shape_.groups = divide_up(p.depth, group_taps);
    shape_.planes = p.narrow_left || p.narrow_right || fits ? 1 : 2;
    const std::int64_t heaviest = shape_.planes == 2 ? 128 : largest(p.narrow_right);  // both planes of a weight are at most 128
    const auto safe_taps = static_cast<std::size_t>(kSumLimit / (largest(p.narrow_left) * heaviest));
    run_groups_ = fits ? shape_.groups : safe_taps / group_taps;
    const Store wanted = p.narrow_outputs ? Store::int8 : Store::int16;
    const bool at_once = shape_.planes == 1 && run_groups_ >= shape_.groups && filter.finishes_in_32_bits();
    store_ = at_once && tiles(wanted).of[1][1] != nullptr ? wanted : Store::sums;
  }

  void lay_out() {
    shape_.panels = channel_panels(isa_, product_.columns, 1, isa_.vectors);
    for (const ChannelPanel& panel : shape_.panels) {
      for (int v = 0; v < panel.vectors; ++v) {
        for (int lane = 0; lane < isa_.lanes; ++lane) {
          const int within = store_ == Store::int8 ? isa_.int8_order(panel.vectors, v, lane) : v * isa_.lanes + lane;
          const auto place = static_cast<std::size_t>(within);
          shape_.channel.push_back(place < panel.channels ? panel.first + place : PackedShape::kNoChannel);
        }
      }
    }
    shape_.plane_bytes = lanes() * shape_.groups * 4;
  }

  void make_room() {
    std::size_t rights = 0;
    for (std::size_t i = 0; i < results_.size(); ++i) rights += i == 0 || results_[i].right != results_[i - 1].right;
    const std::size_t slots = std::clamp(kPackedBytes / matrix_bytes(), std::size_t{1}, rights);
    weights_.assign(slots * matrix_bytes(), 0);
    offsets_.assign(slots * lanes(), 0);
    for (std::size_t slot = 0; slot < slots; ++slot) std::copy(finish_.offset.begin(), finish_.offset.end(), offsets_.begin() + static_cast<std::ptrdiff_t>(slot * lanes()));
    safe_inputs_.assign(slots, 0);
    if (watch_.is_needed()) magnitudes_.assign(slots * product_.columns, 0);
  }

  std::size_t lanes() const { return shape_.channel.size(); }
  std::size_t matrix_bytes() const { return shape_.plane_bytes * static_cast<std::size_t>(shape_.planes); }
  std::size_t stride() const { return shape_.groups * 4; }
  std::size_t output_size() const { return product_.narrow_outputs ? 1 : 2; }
  std::size_t panel_bytes(std::size_t count) const { return round_up((count + kMaxRows) * stride() + 64, 64); }
  const Tiles& tiles(Store store) const { return (bytes_ ? isa_.byte_tiles : isa_.word_tiles)[static_cast<int>(store)]; }
  const std::byte* right_matrix(std::size_t right) const {
    return b_ + right * product_.depth * product_.columns * (product_.narrow_right ? 1 : 2);
  }

  // Results [begin, end), whose right matrices fill so many slots.
  void multiply(std::size_t begin, std::size_t end, Pool& pool, std::size_t slots) {
    const Product& p = product_;
    const std::size_t panels = shape_.panels.size();
    pool.parallel_for(slots * panels, [&](std::size_t piece) {
      const std::size_t slot = piece / panels;
      const auto found = std::partition_point(results_.begin() + static_cast<std::ptrdiff_t>(begin), results_.begin() + static_cast<std::ptrdiff_t>(end),
                                              [&](const Result& result) { return result.slot < slot; });
      pack(slot, shape_.panels[piece % panels], right_matrix(found->right));
    });
    if (watch_.is_needed()) {
      for (std::size_t slot = 0; slot < slots; ++slot) safe_inputs_[slot] = watch_.safe_input(&magnitudes_[slot * p.columns]);
    }
    std::size_t rows = rows_;
    const std::size_t wanted = divide_up(4 * pool.threads(), end - begin);
    if (pool.threads() > 1 && divide_up(p.rows, rows) < wanted) {
      rows = std::clamp(round_up(divide_up(p.rows, wanted), kBlockRows), std::min(kBlockRows, rows_), rows_);
    }
    const std::size_t blocks = divide_up(p.rows, rows);
    pool.parallel_for((end - begin) * blocks, [&](std::size_t piece) {
      const std::size_t first = piece % blocks * rows;
      block(results_[begin + piece / blocks], first, std::min(rows, p.rows - first));
    });
  }

  void pack(std::size_t slot, const ChannelPanel& panel, const std::byte* matrix) {
    const Product& p = product_;
    std::uint8_t* target = &weights_[slot * matrix_bytes()] + shape_.panel_at(panel);
    pack_panel(shape_, p.order, panel, matrix, p.narrow_right, bytes_, target);
    if (watch_.is_needed()) watch_.add_up(matrix, panel.first, panel.first + panel.channels, &magnitudes_[slot * p.columns]);
    if (!bytes_) return;
    // bytes count byte_zero too much: what a row of zeros comes to is what every row holds beside its products
    const std::size_t count = shape_.lanes_of(panel);
    auto* inputs = reinterpret_cast<std::uint8_t*>(scratch(panel_bytes(1) + count * sizeof(std::int32_t)));
    auto* sums = reinterpret_cast<std::int32_t*>(inputs + panel_bytes(1));
    std::memset(inputs, isa_.byte_zero, panel_bytes(1));
    const Finish none{zeros_.data(), nullptr, nullptr, 0};
    run_tiles(isa_, tiles(Store::sums), panel.vectors, {inputs, stride(), target, shape_.groups, none, sums, count, 0, count}, 1, 4);
    std::int32_t* offset = &offsets_[slot * lanes() + panel.lane];
    for (std::size_t lane = 0; lane < count; ++lane) {
      offset[lane] = static_cast<std::int32_t>(static_cast<std::uint32_t>(finish_.offset[panel.lane + lane]) - static_cast<std::uint32_t>(sums[lane]));
    }
  }

  // Rows [first, first + count) of one result.
  void block(const Result& result, std::size_t first, std::size_t count) const {
    const Product& p = product_;
    const std::size_t most = store_ == Store::sums ? count * static_cast<std::size_t>(isa_.vectors * isa_.lanes) : 0;
    const std::size_t sum_bytes = round_up(most * (8 + 4 + 2), 64);
    auto* inputs = reinterpret_cast<std::uint8_t*>(scratch(panel_bytes(count) + sum_bytes + watch_.scratch_bytes(count)));
    std::byte* memory = reinterpret_cast<std::byte*>(inputs) + panel_bytes(count);
    const std::size_t size = p.narrow_left ? 1 : 2;
    const std::byte* left = a_ + result.left * p.rows * p.depth * size;
    const GatherFunction gather = bytes_ ? isa_.gather_bytes : p.narrow_left ? isa_.gather_widened : isa_.gather_words;
    gather(geometry_, left, first, count, inputs, stride());
    std::byte* out = out_ + (result.index * p.rows + first) * p.columns * output_size();
    for (std::size_t i = 0; i < shape_.panels.size(); ++i) {
      if (store_ == Store::sums) {
        by_sums(i, result.slot, inputs, count, memory, out);
      } else {
        const ChannelPanel& panel = shape_.panels[i];
        run_tiles(isa_, tiles(store_), panel.vectors,
                  {inputs, stride(), weights(panel, result.slot), shape_.groups, finish(panel, result.slot),
                   out + panel.first * output_size(), p.columns, 0, panel.channels},
                  count, output_size());
      }
    }
    if (watch_.is_needed()) {
      watch_.correct(left + first * p.depth * size, right_matrix(result.right), &magnitudes_[result.slot * p.columns],
                     safe_inputs_[result.slot], count, out, memory + sum_bytes, differing_);
    }
  }

  const std::uint8_t* weights(const ChannelPanel& panel, std::size_t slot) const {
    return &weights_[slot * matrix_bytes()] + shape_.panel_at(panel);
  }
  Finish finish(const ChannelPanel& panel, std::size_t slot) const {
    return {&offsets_[slot * lanes() + panel.lane], &finish_.shift[panel.lane], &finish_.mask[panel.lane], finish_.low};
  }

  // One panel whose sums are finished apart.
  void by_sums(std::size_t index, std::size_t slot, const std::uint8_t* inputs, std::size_t count, std::byte* memory, std::byte* out) const {
    const ChannelPanel& panel = shape_.panels[index];
    const std::size_t most = count * static_cast<std::size_t>(isa_.vectors * isa_.lanes), lane_bytes = shape_.lanes_of(panel) * 4;
    auto* total = reinterpret_cast<std::int64_t*>(memory);
    auto* sums = reinterpret_cast<std::int32_t*>(total + most);
    auto* done = reinterpret_cast<std::byte*>(sums + most);
    const std::uint8_t* w = weights(panel, slot);
    const bool is_single = shape_.planes == 1 && run_groups_ >= shape_.groups;
    for (int plane = 0; plane < shape_.planes; ++plane, w += shape_.plane_bytes) {
      for (std::size_t group = 0; group < shape_.groups; group += run_groups_) {
        run_tiles(isa_, tiles(Store::sums), panel.vectors,
                  {inputs + group * 4, stride(), w + group * lane_bytes, std::min(run_groups_, shape_.groups - group), finish(panel, slot), sums,
                   panel.channels, 0, panel.channels},
                  count, 4);
        if (!is_single) isa_.accumulate(sums, count * panel.channels, 8 * plane, plane == 0 && group == 0, total);
      }
    }
    const Requantizer& requantizer = requantizers_[index];
    const auto finish_into = [&](auto* target) {
      if (is_single) {
        requantizer.run(sums, target, count);
      } else {
        requantizer.run(total, target, count);
      }
    };
    if (product_.narrow_outputs) {
      finish_into(reinterpret_cast<std::int8_t*>(done));
    } else {
      finish_into(reinterpret_cast<std::int16_t*>(done));
    }
    const std::size_t row_bytes = panel.channels * output_size();
    for (std::size_t row = 0; row < count; ++row) {
      std::memcpy(out + (row * product_.columns + panel.first) * output_size(), done + row * row_bytes, row_bytes);
    }
  }

  Product product_;
  const MacIsa& isa_;
  const std::byte *a_, *b_;
  std::byte* out_;
  std::atomic<std::uint32_t>* differing_;
  LaneWatch watch_;
  PackedShape shape_{};
  Geometry geometry_{};
  bool bytes_ = false;
  Store store_ = Store::sums;
  std::size_t run_groups_ = 0, rows_ = 0;
  FinishTable finish_;
  std::vector<Requantizer> requantizers_;
  std::vector<Result> results_;             // by right matrix
  Aligned<std::uint8_t> weights_;           // [slots][planes] panels
  Aligned<std::int32_t> offsets_;           // [slots][lanes]
  std::vector<std::int64_t> magnitudes_;    // [slots][columns]
  std::vector<std::int64_t> safe_inputs_;   // [slots]
  const std::vector<std::int32_t> zeros_ = std::vector<std::int32_t>(kMaxVectors * 16, 0);
  Pool alone_{1};
};

}  // namespace

std::unique_ptr<Step> make_product(Product product, const MacIsa& isa, const void* a, const void* b, void* out,
                                   std::atomic<std::uint32_t>* differing) {
  return std::make_unique<ProductStep>(std::move(product), isa, a, b, out, differing);
}

}  // namespace espdl
