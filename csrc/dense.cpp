// Convolution and linear operators: a product of matrices over blocks of output positions.
#include <algorithm>
#include <cstring>

#include "guard.hpp"
#include "lookup.hpp"
#include "mac.hpp"
#include "panels.hpp"

namespace espdl {

namespace {

constexpr std::size_t kPanelBytes = 24 << 10;   // of gathered inputs: they stay in the first cache beside the weights
constexpr std::size_t kSumBytes = 128 << 10;    // of sums that are not finished at once
constexpr std::size_t kBlockRows = 24;          // a multiple of the heights of tall tiles

// A run of groups whose sums fit 32 bits, for all channels, and how much each counts.
struct Part {
  std::size_t first_group, groups;
  int left_shift;
  std::vector<ChannelPanel> panels;
  Aligned<std::uint8_t> weights;
  FinishTable finish;

  std::uint8_t* weights_of(const ChannelPanel& panel) { return weights.data() + panel.lane * groups * 4; }
  const std::uint8_t* weights_of(const ChannelPanel& panel) const { return weights.data() + panel.lane * groups * 4; }
};

struct Plan {
  const MacIsa* isa;
  bool bytes;                   // groups of four bytes, else of two words
  Store store;
  std::size_t group_taps, groups, taps, outputs;
  std::vector<Part> parts;
  std::vector<Requantizer> requantizers;     // for Store::sums: of all outputs; where sums are wide, one for each panel
  std::unique_ptr<GuardTables> guard;        // where sums may leave saturating accumulators; then Store::sums
  bool narrow_inputs, narrow_outputs;

  const Tiles& tiles() const { return (bytes ? isa->byte_tiles : isa->word_tiles)[static_cast<int>(store)]; }
  GatherFunction gather() const {
    return bytes ? isa->gather_bytes : narrow_inputs ? isa->gather_widened : isa->gather_words;
  }
  bool is_wide() const { return parts.size() > 1 || parts.front().left_shift > 0; }
  std::size_t planes() const { return store == Store::split ? 2 : parts.size(); }
};

// The part of a 16-bit weight that counts 2**8, or what is left of it; without a split the weight itself.
int weight_part(int weight, bool split, int left_shift) {
  if (!split) return weight;
  return left_shift > 0 ? high_part(weight) : low_part(weight);
}

// Last tap of each run in which no channel's sum can leave 32 bits, runs ending at whole groups; `part` gives a weight's part. Empty where
// a single group can.
template <typename Part>
std::vector<std::size_t> safe_runs(const Filter& filter, std::size_t group_taps, Part part) {
  const std::int64_t limit = 0x7fffffff / filter.largest_input();
  const std::size_t taps = filter.taps(), outputs = filter.outputs;
  std::vector<std::size_t> ends;
  std::vector<std::int64_t> sums(outputs, 0), group(outputs, 0);
  for (std::size_t start = 0; start < taps; start += group_taps) {
    std::fill(group.begin(), group.end(), 0);
    for (std::size_t tap = start; tap < std::min(start + group_taps, taps); ++tap) {
      for (std::size_t n = 0; n < outputs; ++n) group[n] += std::abs(part(filter.weights[tap * outputs + n]));
    }
    bool full = false, impossible = false;
    for (std::size_t n = 0; n < outputs; ++n) {
      full |= (sums[n] += group[n]) > limit;
      impossible |= group[n] > limit;
    }
    if (impossible) return {};
    if (full && start > 0) {
      ends.push_back(start);
      sums = group;
    }
  }
  ends.push_back(taps);
  return ends;
}

void pack_part(const Filter& filter, const Plan& plan, Part& part, bool split) {
  const MacIsa& isa = *plan.isa;
  const int planes = plan.store == Store::split ? 2 : 1;
  part.panels = channel_panels(isa, filter.outputs, planes);
  const std::size_t lanes = isa.lanes;
  const std::size_t all_lanes = part.panels.back().lane + static_cast<std::size_t>(part.panels.back().vectors) * lanes;
  part.weights.assign(all_lanes * part.groups * 4, 0);
  part.finish.resize(all_lanes);
  for (const ChannelPanel& panel : part.panels) {
    std::uint8_t* target = part.weights_of(panel);
    const int high = planes == 2 ? panel.vectors / 2 : panel.vectors;  // first of the second plane
    for (int v = 0; v < panel.vectors; ++v) {
      const int left_shift = v >= high ? 8 : part.left_shift;
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const std::size_t within =
            plan.store == Store::int8 ? isa.int8_order(panel.vectors, v, static_cast<int>(lane)) : v % high * lanes + lane;
        const std::size_t n = panel.first + within;
        if (n >= filter.outputs) continue;
        std::int64_t sum = 0;
        for (std::size_t group = 0; group < part.groups; ++group) {
          std::uint8_t* vector = target + (group * panel.vectors + v) * lanes * 4;
          for (std::size_t i = 0; i < plan.group_taps; ++i) {
            const std::size_t tap = (part.first_group + group) * plan.group_taps + i;
            if (tap >= plan.taps) break;
            const int weight = weight_part(filter.weights[tap * filter.outputs + n], split, left_shift);
            sum += weight;
            if (plan.bytes) {
              vector[isa.place(true, lane, i)] = static_cast<std::uint8_t>(weight);
            } else {
              const auto word = static_cast<std::int16_t>(weight);
              std::memcpy(vector + isa.place(false, lane, 2 * i), &word, 2);
            }
          }
        }
        const std::int64_t correction = plan.bytes ? -isa.byte_zero * sum : 0;  // what bytes count too much
        const std::size_t entry = panel.lane + v * lanes + lane;
        if (plan.store == Store::sums) {
          part.finish.offset[entry] = static_cast<std::int32_t>(static_cast<std::uint32_t>(correction));
        } else if (planes == 2) {
          if (v < high) part.finish.set_split(entry, entry + high * lanes, filter, n);
        } else {
          part.finish.set(entry, filter, n, correction);
        }
      }
    }
  }
}

std::shared_ptr<const Plan> make_plan(const Filter& filter, const MacIsa& isa) {
  auto plan = std::make_shared<Plan>();
  plan->isa = &isa;
  plan->bytes = isa.bytes && filter.narrow_inputs && filter.narrow_weights;
  plan->group_taps = plan->bytes ? 4 : 2;
  plan->taps = filter.taps();
  plan->outputs = filter.outputs;
  plan->groups = divide_up(plan->taps, plan->group_taps);
  plan->narrow_inputs = filter.narrow_inputs;
  plan->narrow_outputs = filter.narrow_outputs;

  auto runs = safe_runs(filter, plan->group_taps, [](int w) { return w; });
  std::vector<std::size_t> high_runs;
  bool split = false;
  if (runs.empty() || (runs.size() > 2 && !filter.narrow_weights)) {
    auto low_runs = safe_runs(filter, plan->group_taps, low_part);
    high_runs = safe_runs(filter, plan->group_taps, high_part);
    split = runs.empty() || low_runs.size() + high_runs.size() < runs.size();
    if (split) runs = std::move(low_runs);
  }
  const auto add_parts = [&](const std::vector<std::size_t>& ends, int left_shift) {
    std::size_t start = 0;
    for (const std::size_t end : ends) {
      Part part{};
      part.first_group = start / plan->group_taps;
      part.groups = divide_up(end, plan->group_taps) - part.first_group;
      part.left_shift = left_shift;
      plan->parts.push_back(std::move(part));
      start = end;
    }
  };
  add_parts(runs, 0);
  if (split) add_parts(high_runs, 8);

  const Store wanted = filter.narrow_outputs ? Store::int8 : Store::int16;
  plan->store = wanted;
  if (!filter.low.empty()) plan->guard = std::make_unique<GuardTables>(filter);
  if (plan->guard != nullptr || plan->parts.size() > 1 || !filter.finishes_in_32_bits() || plan->tiles().of[1][1] == nullptr) {
    plan->store = Store::sums;
    const bool may_split = plan->parts.size() > 1 && !filter.narrow_weights && !filter.narrow_outputs && plan->guard == nullptr;
    if (may_split && isa.word_tiles[static_cast<int>(Store::split)].of[2][1] != nullptr && filter.finishes_split()) {
      plan->store = Store::split;
      split = true;
      plan->parts.clear();
      plan->parts.push_back({0, plan->groups, 0, {}, {}, {}});
    }
  }
  for (Part& part : plan->parts) pack_part(filter, *plan, part, split);
  if (plan->store != Store::sums) return plan;
  const auto add_requantizer = [&](std::size_t first, std::size_t count) {
    const auto slice = [&](const std::vector<std::int64_t>& all) {
      return std::vector<std::int64_t>(all.begin() + static_cast<std::ptrdiff_t>(first), all.begin() + static_cast<std::ptrdiff_t>(first + count));
    };
    plan->requantizers.emplace_back(slice(filter.bias), slice(filter.shift), count, filter.half_even, filter.relu, filter.bound());
  };
  if (plan->is_wide()) {
    for (const ChannelPanel& panel : plan->parts.front().panels) add_requantizer(panel.first, panel.channels);
  } else {
    add_requantizer(0, filter.outputs);
  }
  return plan;
}

class DenseStep : public Step {
 public:
  DenseStep(std::shared_ptr<const Plan> plan, const Geometry& geometry, const void* x, void* out, const std::int8_t* table,
            std::atomic<std::uint32_t>* differing)
      : plan_(std::move(plan)), geometry_(geometry), x_(x), out_(out), table_(table), differing_(differing) {
    positions_ = geometry.out_height * geometry.out_width;
    stride_ = plan_->groups * 4;
    nanoseconds_ = static_cast<double>(positions_) * plan_->groups * 4 * plan_->outputs / kMacsPerNanosecond * plan_->planes();
    rows_ = std::max(kPanelBytes / stride_, kBlockRows);
    if (plan_->store == Store::sums && !plan_->is_wide()) rows_ = std::min(rows_, std::max(kSumBytes / (4 * plan_->outputs), std::size_t{1}));
    rows_ = std::min({rows_, std::size_t{480}, positions_});
    // blocks of about equal height: each reads all weights, a last one of a few rows as well
    rows_ = divide_up(positions_, divide_up(positions_, rows_));
  }

  void run(Pool& pool) override {
    const std::size_t threads = nanoseconds_ > kSplitAboveNanoseconds ? pool.threads() : 1;
    if (threads == 1) {
      for (std::size_t first = 0; first < positions_; first += rows_) block(first, std::min(rows_, positions_ - first), 0, 1);
      return;
    }
    // at least four pieces for each thread, of rows first, then of channels too
    const std::size_t wanted = 6 * threads;
    std::size_t rows = rows_;
    if (divide_up(positions_, rows) < wanted) {
      rows = std::clamp(round_up(divide_up(positions_, wanted), kBlockRows), std::min(kBlockRows, rows_), rows_);
    }
    const std::size_t blocks = divide_up(positions_, rows);
    std::size_t sides = 1;
    if ((plan_->store != Store::sums || plan_->is_wide()) && blocks < wanted) sides = std::min(divide_up(wanted, blocks), plan_->parts[0].panels.size());
    pool.parallel_for(blocks * sides, [&](std::size_t piece) {
      const std::size_t first = piece / sides * rows;
      block(first, std::min(rows, positions_ - first), piece % sides, sides);
    });
  }

 private:
  // Output positions [first, first + count), of the panels the part that is number `side` of `sides`.
  void block(std::size_t first, std::size_t count, std::size_t side, std::size_t sides) const {
    const std::size_t panels = plan_->parts.front().panels.size();
    const std::size_t begin = panels * side / sides, end = panels * (side + 1) / sides;
    if (plan_->store != Store::sums) {
      finished_block(first, count, begin, end);
    } else if (plan_->is_wide()) {
      wide_block(first, count, begin, end);
    } else {
      sums_block(first, count);
    }
  }

  std::size_t panel_bytes(std::size_t count) const { return round_up((count + kMaxRows) * stride_ + 64, 64); }
  std::size_t output_size() const { return plan_->narrow_outputs ? 1 : 2; }
  std::byte* output(std::size_t position) const { return static_cast<std::byte*>(out_) + position * plan_->outputs * output_size(); }

  void finished_block(std::size_t first, std::size_t count, std::size_t begin, std::size_t end) const {
    const Plan& plan = *plan_;
    auto* inputs = reinterpret_cast<std::uint8_t*>(scratch(panel_bytes(count)));
    plan.gather()(geometry_, x_, first, count, inputs, stride_);
    const Part& part = plan.parts.front();
    for (std::size_t p = begin; p < end; ++p) {
      const ChannelPanel& panel = part.panels[p];
      multiply(part, panel, inputs, count, output(first) + panel.first * output_size(), plan.outputs, output_size());
    }
    if (table_ != nullptr) look_up(first, count, part.panels[begin].first, part.panels[end - 1].first + part.panels[end - 1].channels);
  }

  // Sums of all outputs, watched where they may leave an accumulator, then finished.
  void sums_block(std::size_t first, std::size_t count) const {
    const Plan& plan = *plan_;
    const std::size_t sum_bytes = round_up(count * plan.outputs * 4, 64);
    const std::size_t norm_bytes = plan.guard != nullptr ? count * (divide_up(plan.taps, kStretch) + 1) * sizeof(float) : 0;
    auto* inputs = reinterpret_cast<std::uint8_t*>(scratch(panel_bytes(count) + sum_bytes + norm_bytes));
    auto* sums = reinterpret_cast<std::int32_t*>(inputs + panel_bytes(count));
    plan.gather()(geometry_, x_, first, count, inputs, stride_);
    const Part& part = plan.parts.front();
    // where most blocks of sums had to be found in the chip's order just now, the exact ones are not computed before
    const bool crowded = plan.guard != nullptr && crowded_.load(std::memory_order_relaxed);
    if (!crowded) {
      for (const ChannelPanel& panel : part.panels) multiply(part, panel, inputs, count, sums + panel.first, plan.outputs, 4);
    }
    if (plan.guard != nullptr) {
      auto* norms = reinterpret_cast<float*>(inputs + panel_bytes(count) + sum_bytes);
      const std::size_t doubtful = plan.isa->guard({&plan.guard->guard(), inputs, stride_, count, plan.bytes, norms, sums, differing_, !crowded});
      crowded_.store(2 * doubtful > count * divide_up(plan.outputs, kGuardBlock), std::memory_order_relaxed);
    }
    if (plan.narrow_outputs) {
      plan.requantizers.front().run(sums, reinterpret_cast<std::int8_t*>(output(first)), count);
      if (table_ != nullptr) look_up(first, count, 0, plan.outputs);
    } else {
      plan.requantizers.front().run(sums, reinterpret_cast<std::int16_t*>(output(first)), count);
    }
  }

  // Sums of several parts, panel by panel.
  void wide_block(std::size_t first, std::size_t count, std::size_t begin, std::size_t end) const {
    const Plan& plan = *plan_;
    const std::size_t most = count * static_cast<std::size_t>(plan.isa->vectors * plan.isa->lanes);
    auto* inputs = reinterpret_cast<std::uint8_t*>(scratch(panel_bytes(count) + most * (4 + 8 + 2)));
    auto* total = reinterpret_cast<std::int64_t*>(inputs + panel_bytes(count));
    auto* sums = reinterpret_cast<std::int32_t*>(total + most);
    auto* done = reinterpret_cast<std::byte*>(sums + most);
    plan.gather()(geometry_, x_, first, count, inputs, stride_);
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t channels = plan.parts.front().panels[p].channels;
      for (const Part& part : plan.parts) {
        multiply(part, part.panels[p], inputs, count, sums, channels, 4);
        plan.isa->accumulate(sums, count * channels, part.left_shift, &part == &plan.parts.front(), total);
      }
      if (plan.narrow_outputs) {
        plan.requantizers[p].run(total, reinterpret_cast<std::int8_t*>(done), count);
      } else {
        plan.requantizers[p].run(total, reinterpret_cast<std::int16_t*>(done), count);
      }
      const std::size_t bytes = channels * output_size(), start = plan.parts.front().panels[p].first;
      for (std::size_t row = 0; row < count; ++row) std::memcpy(output(first + row) + start * output_size(), done + row * bytes, bytes);
      if (table_ != nullptr) look_up(first, count, start, start + channels);
    }
  }

  // out: the panel's first channel of the first position; `size` bytes an element, `out_stride` elements from one position to the next.
  void multiply(const Part& part, const ChannelPanel& panel, const std::uint8_t* inputs, std::size_t count, void* out, std::size_t out_stride,
                std::size_t size) const {
    const Tile tile{inputs + part.first_group * 4,
                    stride_,
                    part.weights_of(panel),
                    part.groups,
                    part.finish.at(panel.lane),
                    out,
                    out_stride,
                    0,
                    panel.channels};
    run_tiles(*plan_->isa, plan_->tiles(), panel.vectors, tile, count, size);
  }

  // Outputs [from, to) of some positions through the table.
  void look_up(std::size_t first, std::size_t count, std::size_t from, std::size_t to) const {
    auto* out = reinterpret_cast<std::int8_t*>(output(first));
    if (to - from == plan_->outputs) return lookup8(table_, out, out, count * plan_->outputs);
    for (std::size_t row = 0; row < count; ++row, out += plan_->outputs) lookup8(table_, out + from, out + from, to - from);
  }

  std::shared_ptr<const Plan> plan_;
  Geometry geometry_;
  const void* x_;
  void* out_;
  const std::int8_t* table_;
  std::atomic<std::uint32_t>* differing_;
  std::size_t positions_, stride_, rows_;
  mutable std::atomic<bool> crowded_{false};
  double nanoseconds_;
};

class Dense : public Mac {
 public:
  explicit Dense(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {}
  std::unique_ptr<Step> bind(const Geometry& geometry, const void* x, void* out, const std::int8_t* table,
                             std::atomic<std::uint32_t>* differing) const override {
    return std::make_unique<DenseStep>(plan_, geometry, x, out, table, differing);
  }

 private:
  std::shared_ptr<const Plan> plan_;
};

}  // namespace

std::unique_ptr<Mac> make_dense(const Filter& filter, const MacIsa& isa) { return std::make_unique<Dense>(make_plan(filter, isa)); }

}  // namespace espdl
