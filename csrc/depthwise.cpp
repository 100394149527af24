// Depthwise convolution: output channel n reads input channel n.
#include <algorithm>
#include <cstring>

#include "lookup.hpp"
#include "mac.hpp"

namespace espdl {

namespace {

constexpr std::size_t kBlock = 64;  // channels of DepthwiseRow

struct DepthwisePlan {
  const MacIsa* isa;
  Filter filter;                            // without its weights where they are packed
  bool by_rows;                             // DepthwiseRow
  int planes;                               // of DepthwiseWords; 0 for other ways
  bool wide;                                // sums of 64 bits
  Aligned<std::uint8_t> weights;            // for DepthwiseRow
  FinishTable finish;
  WideFinishTable wide_finish;              // of two planes
  std::unique_ptr<Requantizer> requantizer;  // for sums
};

void pack_rows(DepthwisePlan& plan) {
  const Filter& f = plan.filter;
  const std::size_t blocks = divide_up(f.outputs, kBlock);
  plan.weights.assign(blocks * f.width * kBlock * 4, 0);
  plan.finish.resize(blocks * kBlock);
  for (std::size_t block = 0; block < blocks; ++block) {
    for (int v = 0; v < 4; ++v) {
      for (int lane = 0; lane < 16; ++lane) {
        const std::size_t n = block * kBlock + plan.isa->int8_order(4, v, lane);
        if (n >= f.outputs) continue;
        std::int64_t sum = 0;
        for (std::size_t kx = 0; kx < f.width; ++kx) {
          for (std::size_t ky = 0; ky < f.height; ++ky) {
            const int weight = f.weights[(ky * f.width + kx) * f.outputs + n];
            sum += weight;
            std::uint8_t* vector = &plan.weights[((block * f.width + kx) * 4 + v) * 64];
            vector[plan.isa->place(true, lane, ky)] = static_cast<std::uint8_t>(weight);
          }
        }
        plan.finish.set(block * kBlock + v * 16 + lane, f, n, -plan.isa->byte_zero * sum);
      }
    }
  }
}

// Planes that DepthwiseWords needs for the filter; 0 where it cannot do it.
int word_planes(const Filter& f, const MacIsa& isa) {
  if (isa.depthwise_words[0] == nullptr || f.narrow_inputs || f.narrow_outputs || f.taps() > 500) return 0;
  if (f.finishes_in_32_bits()) return 1;
  return WideFinishTable::fits(f) ? 2 : 0;
}

void pack_words(DepthwisePlan& plan) {
  const Filter& f = plan.filter;
  const std::size_t taps = f.taps(), pairs = divide_up(taps, 2), blocks = divide_up(f.outputs, kWordBlock);
  const auto planes = static_cast<std::size_t>(plan.planes);
  plan.weights.assign(blocks * pairs * planes * 128, 0);
  plan.finish.resize(blocks * kWordBlock);
  plan.wide_finish.resize(blocks * kWordBlock);
  for (std::size_t block = 0; block < blocks; ++block) {
    for (int v = 0; v < 2; ++v) {
      for (int lane = 0; lane < 16; ++lane) {
        const std::size_t n = block * kWordBlock + static_cast<std::size_t>(word_order(v, lane));
        if (n >= f.outputs) continue;
        for (std::size_t tap = 0; tap < taps; ++tap) {
          const int weight = f.weights[tap * f.outputs + n];
          const int low = static_cast<std::int8_t>(weight & 0xff);
          for (std::size_t plane = 0; plane < planes; ++plane) {
            const auto part = static_cast<std::int16_t>(planes == 1 ? weight : plane == 0 ? low : (weight - low) / 256);
            std::uint8_t* vector = &plan.weights[(((block * pairs + tap / 2) * planes + plane) * 2 + v) * 64];
            std::memcpy(vector + plan.isa->place(false, lane, tap % 2 * 2), &part, 2);
          }
        }
        const std::size_t entry = block * kWordBlock + v * 16 + lane;
        if (planes == 1) {
          plan.finish.set(entry, f, n, 0);
        } else {
          plan.wide_finish.set(entry, f, n);
        }
      }
    }
  }
}

std::shared_ptr<const DepthwisePlan> make_plan(const Filter& filter, const MacIsa& isa) {
  auto plan = std::make_shared<DepthwisePlan>();
  plan->isa = &isa;
  plan->filter = filter;
  plan->by_rows = isa.depthwise_row != nullptr && filter.height <= 4 && filter.narrow_inputs && filter.narrow_weights &&
                  filter.narrow_outputs && filter.finishes_in_32_bits();
  plan->wide = filter.bound() >= 0x1p31;
  plan->planes = word_planes(filter, isa);
  if (plan->by_rows) {
    pack_rows(*plan);
    plan->filter.weights.clear();
  } else if (plan->planes > 0) {
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
    element_ = plan_->filter.narrow_inputs ? 1 : 2;
    columns_ = (g_.out_width - 1) * g_.stride_x + (g_.kernel_width - 1) * g_.dilation_x + 1;
    row_bytes_ = round_up(columns_ * g_.channels * element_ + kBlock * 2, 64);
    span_ = (g_.kernel_height - 1) * g_.dilation_y + 1;
    pointer_bytes_ = round_up((g_.kernel_height + g_.kernel_height * g_.kernel_width + 1) * sizeof(void*), 64);
    sum_bytes_ = plan_->by_rows || plan_->planes > 0 ? 0 : g_.out_width * g_.channels * (plan_->wide ? 8 : 4);
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
      } else if (plan.planes > 0) {
        by_words(rows, reinterpret_cast<const std::int16_t**>(rows + g_.kernel_height), reinterpret_cast<std::int16_t*>(out));
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
    const std::byte* source = x_ + (padded_row - g_.top) * g_.width * pixel;
    const std::size_t left = std::min(g_.left, columns_) * pixel;
    const std::size_t inner = std::min(g_.width * pixel, size - left);
    std::memset(target, edge, left);
    if (edge != 0) {
      plan_->isa->flip(source, reinterpret_cast<std::uint8_t*>(target + left), inner);
    } else {
      std::memcpy(target + left, source, inner);
    }
    std::memset(target + left + inner, edge, size - left - inner);
  }

  void by_rows(const void* const* rows, std::byte* out) const {
    const DepthwisePlan& plan = *plan_;
    DepthwiseRow row{{},         g_.channels, g_.out_width, g_.kernel_width, g_.stride_x, g_.dilation_x, plan.weights.data(),
                     plan.finish.at(0), reinterpret_cast<std::int8_t*>(out)};
    for (std::size_t ky = 0; ky < 4; ++ky) row.rows[ky] = static_cast<const std::uint8_t*>(rows[ky < g_.kernel_height ? ky : 0]);
    plan.isa->depthwise_row(row);
  }

  void by_words(const void* const* rows, const std::int16_t** taps, std::int16_t* out) const {
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
    DepthwiseWords work{taps, count / 2, g_.channels, g_.out_width, g_.stride_x, plan.weights.data(), {}, {}, out};
    if (plan.planes == 1) {
      work.finish = plan.finish.at(0);
    } else {
      work.wide = plan.wide_finish.at(0);
    }
    plan.isa->depthwise_words[plan.planes - 1](work);
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
