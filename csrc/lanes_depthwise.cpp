// Depthwise convolution with accumulators that some sum may leave. The fast kernel goes first; then those rows of outputs are done again, a
// strip of channels at a time, for which the largest and smallest inputs under them do not prove that every partial sum stayed inside.
#include "lanes.hpp"
#include "vectorize.hpp"

namespace espdl {

namespace {

// Of each channel, padded to whole strips.
struct Doubts {
  Aligned<double> positive, negative;  // sums of the weights' magnitudes, by sign
  Aligned<double> up, down;            // see Room

  explicit Doubts(const Filter& f) {
    const std::size_t lanes = round_up(f.outputs, kStrip);
    positive.assign(lanes, 0);
    negative.assign(lanes, 0);
    up.assign(lanes, std::numeric_limits<double>::infinity());
    down.assign(lanes, std::numeric_limits<double>::infinity());
    for (std::size_t n = 0; n < f.outputs; ++n) {
      for (std::size_t tap = 0; tap < f.taps(); ++tap) {
        const double weight = f.weights[tap * f.outputs + n];
        (weight > 0 ? positive : negative)[n] += std::abs(weight);
      }
      const Room room(f.lanes[n], f.bias[n]);
      up[n] = room.up;
      down[n] = room.down;
    }
  }
};

// Largest and smallest value of each channel in one row, at least and at most 0.
template <typename In>
struct RowRange {
  ESPDL_INLINE void operator()(const In* row, std::size_t width, std::size_t channels, In* most, In* least) const {
    ESPDL_IVDEP
    for (std::size_t c = 0; c < channels; ++c) most[c] = least[c] = 0;
    for (std::size_t column = 0; column < width; ++column, row += channels) {
      ESPDL_IVDEP
      for (std::size_t c = 0; c < channels; ++c) {
        most[c] = row[c] > most[c] ? row[c] : most[c];
        least[c] = row[c] < least[c] ? row[c] : least[c];
      }
    }
  }
};

// Whether inputs between `least` and `most` can take a sum of one of `count` channels out of its accumulator.
template <typename In>
struct MayLeave {
  ESPDL_INLINE void operator()(const Doubts* d, std::size_t first, std::size_t count, const In* most, const In* least, bool* result) const {
    const double* positive = &d->positive[first];
    const double* negative = &d->negative[first];
    const double* up = &d->up[first];
    const double* down = &d->down[first];
    int leaves = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double high = most[i], low = -static_cast<double>(least[i]);
      leaves |= (positive[i] * high + negative[i] * low > up[i]) | (positive[i] * low + negative[i] * high > down[i]);
    }
    *result = leaves != 0;
  }
};

// Some columns of a strip of `count` channels, widened.
template <typename In>
struct Widen {
  ESPDL_INLINE void operator()(const In* source, std::size_t columns, std::size_t channels, std::size_t count, std::int32_t* target) const {
    for (std::size_t column = 0; column < columns; ++column, source += channels, target += kStrip) {
      if (count == kStrip) {
        ESPDL_IVDEP
        for (std::size_t i = 0; i < kStrip; ++i) target[i] = source[i];
      } else {
        for (std::size_t i = 0; i < count; ++i) target[i] = source[i];
      }
    }
  }
};

template <typename Int>
struct LanePlan {
  const MacIsa* isa;
  std::size_t taps;
  bool narrow_inputs, narrow_outputs;
  LaneTables<Int> tables;
  Doubts doubts;

  LanePlan(const Filter& f, const MacIsa& table)
      : isa(&table), taps(f.taps()), narrow_inputs(f.narrow_inputs), narrow_outputs(f.narrow_outputs), tables(f), doubts(f) {}
  auto walk() const {
    if constexpr (sizeof(Int) == 4) {
      return isa->walk_depthwise32;
    } else {
      return isa->walk_depthwise64;
    }
  }
};

template <typename In, typename Int>
class LaneStep : public Step {
 public:
  LaneStep(std::shared_ptr<const LanePlan<Int>> plan, std::unique_ptr<Step> fast, const Geometry& geometry, const void* x, void* out,
           const std::int8_t* table, std::atomic<std::uint32_t>* differing)
      : plan_(std::move(plan)),
        fast_(std::move(fast)),
        g_(geometry),
        x_(static_cast<const In*>(x)),
        out_(static_cast<std::byte*>(out)),
        table_(table),
        differing_(differing) {
    nanoseconds_ = static_cast<double>(g_.out_height * g_.out_width) * g_.channels * plan_->taps / (kMacsPerNanosecond / 16);
    columns_ = (g_.out_width - 1) * g_.stride_x + (g_.kernel_width - 1) * g_.dilation_x + 1;
    input_bytes_ = g_.kernel_height * columns_ * kStrip * sizeof(std::int32_t);
    range_bytes_ = round_up(2 * g_.channels * sizeof(In), 64);
    sum_bytes_ = g_.out_width * kStrip * sizeof(Int);
  }

  void run(Pool& pool) override {
    fast_->run(pool);
    const std::size_t threads = nanoseconds_ > kSplitAboveNanoseconds ? pool.threads() : 1;
    const std::size_t bands = threads == 1 ? 1 : std::min(g_.out_height, 4 * threads);
    pool.parallel_for(bands, [&](std::size_t i) { band(g_.out_height * i / bands, g_.out_height * (i + 1) / bands); });
  }

 private:
  struct Range {
    In *most, *least;
  };
  void band(std::size_t begin, std::size_t end) const {
    const std::size_t first = std::min(begin * g_.stride_y > g_.top ? begin * g_.stride_y - g_.top : 0, g_.height);
    const std::size_t below = (end - 1) * g_.stride_y + (g_.kernel_height - 1) * g_.dilation_y + 1;
    const std::size_t last = std::max(first, std::min(below > g_.top ? below - g_.top : 0, g_.height));
    std::byte* memory = scratch(input_bytes_ + sum_bytes_ + g_.out_width * kStrip * 2 + (last - first + 1) * range_bytes_);
    std::byte* ranges = memory + input_bytes_ + sum_bytes_ + g_.out_width * kStrip * 2;
    const auto range = [&](std::size_t row) {
      In* most = reinterpret_cast<In*>(ranges + row * range_bytes_);
      return Range{most, most + g_.channels};
    };
    const Range all = range(0);  // of the rows under one row of outputs
    for (std::size_t y = first; y < last; ++y) {
      const Range own = range(y - first + 1);
      vectorized(RowRange<In>{}, x_ + y * g_.width * g_.channels, g_.width, g_.channels, own.most, own.least);
    }
    for (std::size_t oy = begin; oy < end; ++oy) {
      std::memset(all.most, 0, 2 * g_.channels * sizeof(In));
      for (std::size_t ky = 0; ky < g_.kernel_height; ++ky) {
        const std::size_t y = row_under(oy, ky);
        if (y >= g_.height) continue;
        const Range own = range(y - first + 1);
        for (std::size_t c = 0; c < g_.channels; ++c) {
          all.most[c] = std::max(all.most[c], own.most[c]);
          all.least[c] = std::min(all.least[c], own.least[c]);
        }
      }
      for (std::size_t strip = 0; strip < plan_->tables.strips(); ++strip) {
        const std::size_t n = strip * kStrip;
        bool leaves = false;
        vectorized(MayLeave<In>{}, &plan_->doubts, n, plan_->tables.channels(strip), all.most + n, all.least + n, &leaves);
        if (leaves) walk(oy, strip, memory);
      }
    }
  }

  // The image's row under a row of the filter; too large a number where that lies above or below the image.
  std::size_t row_under(std::size_t oy, std::size_t ky) const { return oy * g_.stride_y + ky * g_.dilation_y - g_.top; }

  void walk(std::size_t oy, std::size_t strip, std::byte* memory) const {
    const std::size_t n = strip * kStrip, pixel = g_.channels, row_stride = columns_ * kStrip, count = plan_->tables.channels(strip);
    auto* inputs = reinterpret_cast<std::int32_t*>(memory);
    auto* sums = reinterpret_cast<Int*>(memory + input_bytes_);
    std::memset(inputs, 0, input_bytes_);
    const std::size_t left = std::min(g_.left, columns_), inner = std::min(g_.width, columns_ - left);
    for (std::size_t ky = 0; ky < g_.kernel_height; ++ky) {
      const std::size_t y = row_under(oy, ky);
      if (y >= g_.height) continue;
      vectorized(Widen<In>{}, x_ + y * g_.width * pixel + n, inner, pixel, count, inputs + ky * row_stride + left * kStrip);
    }
    std::uint32_t counts[kStrip] = {};
    plan_->walk()({plan_->tables.strip(strip), inputs, row_stride, g_.out_width, g_.kernel_height, g_.kernel_width, g_.stride_x, g_.dilation_x,
                   sums, counts});
    plan_->tables.count(strip, counts, differing_);
    const std::size_t size = plan_->narrow_outputs ? 1 : 2;
    std::byte* first = out_ + (oy * g_.out_width * pixel + n) * size;
    plan_->tables.finish(strip, sums, g_.out_width, table_, memory + input_bytes_ + sum_bytes_,
                         [&](std::size_t i) { return first + i * pixel * size; });
  }

  std::shared_ptr<const LanePlan<Int>> plan_;
  std::unique_ptr<Step> fast_;
  Geometry g_;
  const In* x_;
  std::byte* out_;
  const std::int8_t* table_;
  std::atomic<std::uint32_t>* differing_;
  std::size_t columns_, input_bytes_, range_bytes_, sum_bytes_;
  double nanoseconds_;
};

template <typename Int>
class LaneDepthwise : public Mac {
 public:
  LaneDepthwise(const Filter& f, const MacIsa& isa) : plan_(std::make_shared<const LanePlan<Int>>(f, isa)), fast_(make_depthwise(f, isa)) {}

  std::unique_ptr<Step> bind(const Geometry& geometry, const void* x, void* out, const std::int8_t* table,
                             std::atomic<std::uint32_t>* differing) const override {
    auto fast = fast_->bind(geometry, x, out, table, nullptr);
    if (plan_->narrow_inputs) {
      return std::make_unique<LaneStep<std::int8_t, Int>>(plan_, std::move(fast), geometry, x, out, table, differing);
    }
    return std::make_unique<LaneStep<std::int16_t, Int>>(plan_, std::move(fast), geometry, x, out, table, differing);
  }

 private:
  std::shared_ptr<const LanePlan<Int>> plan_;
  std::unique_ptr<Mac> fast_;
};

}  // namespace

std::unique_ptr<Mac> make_depthwise_lanes(const Filter& filter, const MacIsa& isa) {
  if (lanes_fit_32_bits(filter)) return std::make_unique<LaneDepthwise<std::int32_t>>(filter, isa);
  return std::make_unique<LaneDepthwise<std::int64_t>>(filter, isa);
}

}  // namespace espdl
