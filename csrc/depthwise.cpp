// Depthwise convolution: output channel n reads input channel n.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "lookup.hpp"
#include "mac.hpp"

namespace espdl {

namespace {

struct DepthwisePlan {
  const MacIsa* isa;
  Filter filter;                            // without its weights where they are packed
  bool by_rows;                             // DepthwiseRow
  std::optional<WordSums> words;            // DepthwiseWords
  bool wide;                                // sums of 64 bits
  Aligned<std::uint8_t> weights;            // for DepthwiseRow and DepthwiseWords
  FinishTable finish;
  Aligned<std::int32_t> second_offset;      // of WordSums::pair
  WideFinishTable wide_finish;              // of WordSums::wide
  std::unique_ptr<Requantizer> requantizer;  // for sums
};

// What DepthwiseRow takes for rows of the filter: the columns of a filter of one row, none of whose inputs lie above one another.
struct RowFilter {
  std::size_t height, width, groups;
  explicit RowFilter(const Filter& f)
      : height(f.height == 1 ? f.width : f.height), width(f.height == 1 ? 1 : f.width), groups(divide_up(height, 4)) {}
};

void pack_rows(DepthwisePlan& plan) {
  const Filter& f = plan.filter;
  const RowFilter rows(f);
  const std::size_t lanes = plan.isa->lanes, block_channels = 4 * lanes, blocks = divide_up(f.outputs, block_channels);
  plan.weights.assign(blocks * rows.width * rows.groups * block_channels * 4, 0);
  plan.finish.resize(blocks * block_channels);
  for (std::size_t block = 0; block < blocks; ++block) {
    for (int v = 0; v < 4; ++v) {
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const std::size_t n = block * block_channels + static_cast<std::size_t>(byte_order(v, static_cast<int>(lane)));
        if (n >= f.outputs) continue;
        std::int64_t sum = 0;
        for (std::size_t kx = 0; kx < rows.width; ++kx) {
          for (std::size_t ky = 0; ky < rows.height; ++ky) {
            const int weight = f.weights[(ky * rows.width + kx) * f.outputs + n];
            const std::size_t column = (block * rows.width + kx) * rows.groups + ky / 4;
            sum += weight;
            std::uint8_t* vector = &plan.weights[(column * 4 + v) * lanes * 4];
            vector[plan.isa->place(true, lane, ky % 4)] = static_cast<std::uint8_t>(weight);
          }
        }
        plan.finish.set(block * block_channels + v * lanes + lane, f, n, -plan.isa->byte_zero * sum);
      }
    }
  }
}

// Parameters of a pair: the offset is split, and 8 of the bits to be shifted out are no longer there.
void set_pair(DepthwisePlan& plan, std::size_t entry, std::size_t output) {
  const Filter& f = plan.filter;
  const std::int64_t offset = f.bias[output] + (std::int64_t{1} << (f.shift[output] - 1));
  plan.finish.offset[entry] = static_cast<std::int32_t>(offset & 255);
  plan.second_offset[entry] = static_cast<std::int32_t>(offset >> 8);
  plan.finish.shift[entry] = static_cast<std::int32_t>(f.shift[output] - 8);
  plan.finish.low = f.relu ? 0 : f.narrow_outputs ? -128 : -32768;
  plan.finish.mask[entry] = f.half_even ? static_cast<std::int32_t>((std::uint32_t{1} << plan.finish.shift[entry]) - 1) : -1;
}

// Whether two planes can be finished in 32 bits: sums of both, with bias and half a step, below 2**38.
bool finishes_as_pair(const Filter& f) {
  for (std::size_t n = 0; n < f.outputs; ++n) {
    if (f.shift[n] < 8 || f.shift[n] > 38) return false;
    const double sum = static_cast<double>(f.magnitudes[n]) * static_cast<double>(f.largest_input());
    if (sum + std::abs(static_cast<double>(f.bias[n])) + std::ldexp(0.5, static_cast<int>(f.shift[n])) >= 0x1p38) return false;
  }
  return true;
}

std::optional<WordSums> word_sums(const Filter& f, const MacIsa& isa) {
  if (isa.depthwise_words[0][0] == nullptr) return std::nullopt;
  if (f.finishes_in_32_bits()) return WordSums::one;
  if (f.taps() > 500) return std::nullopt;  // more could leave the 32 bits of a plane
  if (finishes_as_pair(f)) return WordSums::pair;
  return WideFinishTable::fits(f) ? std::optional(WordSums::wide) : std::nullopt;
}

void pack_words(DepthwisePlan& plan) {
  const Filter& f = plan.filter;
  const std::size_t lanes = plan.isa->lanes, block_channels = 2 * lanes;
  const std::size_t taps = f.taps(), pairs = divide_up(taps, 2), blocks = divide_up(f.outputs, block_channels);
  const std::size_t planes = *plan.words == WordSums::one ? 1 : 2;
  plan.weights.assign(blocks * pairs * planes * block_channels * 4, 0);
  plan.finish.resize(blocks * block_channels);
  plan.second_offset.assign(blocks * block_channels, 0);
  plan.wide_finish.resize(blocks * block_channels);
  for (std::size_t block = 0; block < blocks; ++block) {
    for (int v = 0; v < 2; ++v) {
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const std::size_t n = block * block_channels + static_cast<std::size_t>(word_order(v, static_cast<int>(lane)));
        if (n >= f.outputs) continue;
        for (std::size_t tap = 0; tap < taps; ++tap) {
          const int weight = f.weights[tap * f.outputs + n];
          for (std::size_t plane = 0; plane < planes; ++plane) {
            const auto part = static_cast<std::int16_t>(planes == 1 ? weight : plane == 0 ? low_part(weight) : high_part(weight));
            std::uint8_t* vector = &plan.weights[(((block * pairs + tap / 2) * planes + plane) * 2 + v) * lanes * 4];
            std::memcpy(vector + plan.isa->place(false, lane, tap % 2 * 2), &part, 2);
          }
        }
        const std::size_t entry = block * block_channels + v * lanes + lane;
        if (*plan.words == WordSums::wide) {
          plan.wide_finish.set(entry, f, n);
          continue;
        }
        if (*plan.words == WordSums::pair) {
          set_pair(plan, entry, n);
        } else {
          plan.finish.set(entry, f, n, 0);
        }
      }
    }
  }
}

std::shared_ptr<const DepthwisePlan> make_plan(const Filter& filter, const MacIsa& isa) {
  auto plan = std::make_shared<DepthwisePlan>();
  plan->isa = &isa;
  plan->filter = filter;
  plan->by_rows = isa.depthwise_row != nullptr && filter.narrow_inputs && filter.narrow_weights && filter.narrow_outputs &&
                  filter.finishes_in_32_bits();
  plan->wide = filter.bound() >= 0x1p31;
  if (!plan->by_rows) plan->words = word_sums(filter, isa);
  if (plan->by_rows) {
    pack_rows(*plan);
    plan->filter.weights.clear();
  } else if (plan->words) {
    pack_words(*plan);
    plan->filter.weights.clear();
  } else {
    plan->requantizer = std::make_unique<Requantizer>(filter.bias, filter.shift, filter.outputs, filter.half_even, filter.relu, filter.bound());
  }
  return plan;
}

class DepthwiseStep : public Step {
 public:
  DepthwiseStep(std::shared_ptr<const DepthwisePlan> plan, const Geometry& geometry, const void* x, void* out, const std::int8_t* table)
      : plan_(std::move(plan)), g_(geometry), x_(static_cast<const std::byte*>(x)), out_(static_cast<std::byte*>(out)), table_(table) {
    element_ = plan_->filter.narrow_inputs && !plan_->words ? 1 : 2;
    columns_ = (g_.out_width - 1) * g_.stride_x + (g_.kernel_width - 1) * g_.dilation_x + 1;
    row_bytes_ = round_up(columns_ * g_.channels * element_ + 128, 64);
    span_ = (g_.kernel_height - 1) * g_.dilation_y + 1;
    pointer_bytes_ = round_up((g_.kernel_height + g_.kernel_height * g_.kernel_width + 4) * sizeof(void*), 64);
    sum_bytes_ = plan_->by_rows || plan_->words ? 0 : g_.out_width * g_.channels * (plan_->wide ? 8 : 4);
    nanoseconds_ = static_cast<double>(g_.out_height * g_.out_width) * g_.channels * plan_->filter.taps() / (kMacsPerNanosecond / 4);
  }

  void run(Pool& pool) override {
    const std::size_t threads = nanoseconds_ > kSplitAboveNanoseconds ? pool.threads() : 1;
    // each band reads the rows above and below it again: few bands, but enough to even out
    const std::size_t bands = threads == 1 ? 1 : std::min(g_.out_height, 2 * threads);
    pool.parallel_for(bands, [&](std::size_t i) { band(g_.out_height * i / bands, g_.out_height * (i + 1) / bands); });
  }

 private:
  // Output rows [begin, end), from a ring of copied input rows that hold their borders.
  void band(std::size_t begin, std::size_t end) const {
    const DepthwisePlan& plan = *plan_;
    std::byte* memory = scratch(pointer_bytes_ + sum_bytes_ + 64 + span_ * row_bytes_);
    auto** rows = reinterpret_cast<const void**>(memory);
    std::byte* sums = memory + pointer_bytes_;
    std::byte* ring = memory + pointer_bytes_ + round_up(sum_bytes_, 64);
    const std::size_t line = g_.out_width * g_.channels;
    std::size_t next = 0;  // first row, counted from the top border, that is not in the ring
    for (std::size_t oy = begin; oy < end; ++oy) {
      const std::size_t first = oy * g_.stride_y;
      for (next = std::max(next, first); next < first + span_; ++next) copy_row(next, ring + next % span_ * row_bytes_);
      for (std::size_t ky = 0; ky < g_.kernel_height; ++ky) rows[ky] = ring + (first + ky * g_.dilation_y) % span_ * row_bytes_;
      std::byte* out = out_ + oy * line * (plan.filter.narrow_outputs ? 1 : 2);
      if (plan.by_rows) {
        by_rows(rows, out);
      } else if (plan.words) {
        by_words(rows, reinterpret_cast<const std::int16_t**>(rows + g_.kernel_height), out);
      } else {
        by_sums(rows, sums, out);
      }
      if (table_ != nullptr) {
        auto* values = reinterpret_cast<std::int8_t*>(out);
        lookup8(table_, values, values, line);
      }
    }
  }

  void copy_row(std::size_t padded_row, std::byte* target) const {
    const std::size_t pixel = g_.channels * element_, size = columns_ * pixel;
    const int edge = plan_->by_rows ? plan_->isa->byte_zero : 0;
    if (padded_row < g_.top || padded_row - g_.top >= g_.height) {
      std::memset(target, edge, size);
      return;
    }
    const bool widens = plan_->words.has_value() && plan_->filter.narrow_inputs;
    const std::size_t left = std::min(g_.left, columns_) * pixel;
    const std::size_t inner = std::min(g_.width * pixel, size - left);
    const std::byte* source = x_ + (padded_row - g_.top) * g_.width * (widens ? pixel / 2 : pixel);
    std::memset(target, edge, left);
    if (plan_->by_rows && edge != 0) {
      plan_->isa->flip(source, reinterpret_cast<std::uint8_t*>(target + left), inner);
    } else if (widens) {
      plan_->isa->widen(source, reinterpret_cast<std::int16_t*>(target + left), inner / 2);
    } else {
      std::memcpy(target + left, source, inner);
    }
    std::memset(target + left + inner, edge, size - left - inner);
  }

  // Behind the pointers to the filter's rows there is room for those that are taken for rows.
  void by_rows(const void** rows, std::byte* out) const {
    const DepthwisePlan& plan = *plan_;
    const RowFilter filter(plan.filter);
    auto** taken = reinterpret_cast<const std::uint8_t**>(rows + g_.kernel_height);
    for (std::size_t ky = 0; ky < 4 * filter.groups; ++ky) {
      if (ky >= filter.height) {
        taken[ky] = taken[0];  // their weights are 0
      } else if (g_.kernel_height == 1) {
        taken[ky] = static_cast<const std::uint8_t*>(rows[0]) + ky * g_.dilation_x * g_.channels;
      } else {
        taken[ky] = static_cast<const std::uint8_t*>(rows[ky]);
      }
    }
    plan.isa->depthwise_row({taken, filter.groups, g_.channels, g_.out_width, filter.width, g_.stride_x, g_.dilation_x, plan.weights.data(),
                             plan.finish.at(0), reinterpret_cast<std::int8_t*>(out)});
  }

  void by_words(const void* const* rows, const std::int16_t** taps, std::byte* out) const {
    const DepthwisePlan& plan = *plan_;
    std::size_t count = 0;
    for (std::size_t ky = 0; ky < g_.kernel_height; ++ky) {
      for (std::size_t kx = 0; kx < g_.kernel_width; ++kx) {
        taps[count++] = static_cast<const std::int16_t*>(rows[ky]) + kx * g_.dilation_x * g_.channels;
      }
    }
    if (count % 2 == 1) {
      taps[count] = taps[count - 1];  // its weight is 0
      ++count;
    }
    const DepthwiseWords work{taps,
                              count / 2,
                              g_.channels,
                              g_.out_width,
                              g_.stride_x,
                              plan.weights.data(),
                              plan.finish.at(0),
                              plan.second_offset.data(),
                              plan.wide_finish.at(0),
                              out};
    plan.isa->depthwise_words[plan.filter.narrow_outputs ? 1 : 0][static_cast<int>(*plan.words)](work);
  }

  void by_sums(const void* const* rows, std::byte* sums, std::byte* out) const {
    const DepthwisePlan& plan = *plan_;
    const DepthwiseSums work{rows,          g_.channels, g_.out_width,  g_.kernel_height, g_.kernel_width,
                             g_.stride_x, g_.dilation_x, plan.filter.weights.data(), sums};
    const MacIsa& isa = *plan.isa;
    (plan.filter.narrow_inputs ? isa.depthwise_sums8 : plan.wide ? isa.depthwise_sums16_wide : isa.depthwise_sums16)(work);
    if (plan.filter.narrow_outputs) {
      finish(sums, reinterpret_cast<std::int8_t*>(out));
    } else {
      finish(sums, reinterpret_cast<std::int16_t*>(out));
    }
  }

  template <typename Out>
  void finish(const std::byte* sums, Out* out) const {
    if (plan_->wide) {
      plan_->requantizer->run(reinterpret_cast<const std::int64_t*>(sums), out, g_.out_width);
    } else {
      plan_->requantizer->run(reinterpret_cast<const std::int32_t*>(sums), out, g_.out_width);
    }
  }

  std::shared_ptr<const DepthwisePlan> plan_;
  Geometry g_;
  const std::byte* x_;
  std::byte* out_;
  const std::int8_t* table_;
  std::size_t element_, columns_, row_bytes_, span_, pointer_bytes_, sum_bytes_;
  double nanoseconds_;
};

class Depthwise : public Mac {
 public:
  explicit Depthwise(std::shared_ptr<const DepthwisePlan> plan) : plan_(std::move(plan)) {}
  std::unique_ptr<Step> bind(const Geometry& geometry, const void* x, void* out, const std::int8_t* table,
                             std::atomic<std::uint32_t>*) const override {
    return std::make_unique<DepthwiseStep>(plan_, geometry, x, out, table);
  }

 private:
  std::shared_ptr<const DepthwisePlan> plan_;
};

}  // namespace

std::unique_ptr<Mac> make_depthwise(const Filter& filter, const MacIsa& isa) {
  return std::make_unique<Depthwise>(make_plan(filter, isa));
}

}  // namespace espdl
