// From sums to outputs: bias, shift with the chip's rounding, Relu, saturation (runtime spec 2.2 and 3.2).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "isa.hpp"

namespace espdl {

// Two's-complement addition: a 64-bit accumulator wraps, as it does in NumPy.
inline std::int64_t wrapping_add(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

// value / 2**shift, rounded; a negative shift multiplies and stops at the ends of the 64-bit range.
inline std::int64_t shift_and_round(std::int64_t value, std::int64_t shift, bool half_even) {
  if (shift <= 0) {
    const int left = static_cast<int>(-std::max<std::int64_t>(shift, -63));
    const std::int64_t limit = std::numeric_limits<std::int64_t>::max() >> left;
    if (value > limit) return std::numeric_limits<std::int64_t>::max();
    if (value < -limit - 1) return std::numeric_limits<std::int64_t>::min();
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << left);
  }
  const int right = static_cast<int>(std::min<std::int64_t>(shift, 63));
  const std::int64_t floor = value >> right;
  const std::uint64_t rest = static_cast<std::uint64_t>(value) & ((std::uint64_t{1} << right) - 1);
  const std::uint64_t half = std::uint64_t{1} << (right - 1);
  const bool up = rest > half || (rest == half && (!half_even || (floor & 1)));
  return floor + (up ? 1 : 0);
}

// Parameters of the fast form, one entry per channel and repeated so that a run over them is long enough for vectors. Int is wide enough
// for every sum with its offset.
template <typename Int>
struct Prepared {
  std::vector<Int> offset;  // bias plus half a step
  std::vector<Int> right;   // shift
  std::vector<Int> mask;    // the bits that are shifted out
};

// Ends of the output range.
struct Limits {
  std::int32_t low, high;
};

// With half a step added, a tie leaves no remainder; half-even rounding then clears the lowest bit of the quotient. A mask of -1 and a
// sum of 0 look like a tie too, and clearing a bit of 0 changes nothing: shifts by 0 use that.
template <bool half_even, typename Int, typename Sum, typename Out>
ESPDL_INLINE void requantize_body(const Prepared<Int>& p, Limits limits, const Sum* __restrict sums, Out* __restrict out,
                                  std::size_t size) {
  const std::size_t period = p.offset.size();
  const Int* __restrict offset = p.offset.data();
  const Int* __restrict right = p.right.data();
  const Int* __restrict mask = p.mask.data();
  const Int low = limits.low, high = limits.high;
  for (std::size_t start = 0; start < size; start += period) {
    const std::size_t count = std::min(period, size - start);
    for (std::size_t i = 0; i < count; ++i) {
      const Int raised = static_cast<Int>(sums[start + i]) + offset[i];
      Int value = raised >> right[i];
      if constexpr (half_even) value = (raised & mask[i]) == 0 ? value & ~Int{1} : value;
      value = value < low ? low : value;
      value = value > high ? high : value;
      out[start + i] = static_cast<Out>(value);
    }
  }
}

template <bool half_even, typename Int, typename Sum, typename Out>
void requantize_baseline(const Prepared<Int>& p, Limits limits, const Sum* sums, Out* out, std::size_t size) {
  requantize_body<half_even>(p, limits, sums, out, size);
}
#if ESPDL_X86
template <bool half_even, typename Int, typename Sum, typename Out>
ESPDL_AVX2 void requantize_avx2(const Prepared<Int>& p, Limits limits, const Sum* sums, Out* out, std::size_t size) {
  requantize_body<half_even>(p, limits, sums, out, size);
}
template <bool half_even, typename Int, typename Sum, typename Out>
ESPDL_AVX512 void requantize_avx512(const Prepared<Int>& p, Limits limits, const Sum* sums, Out* out, std::size_t size) {
  requantize_body<half_even>(p, limits, sums, out, size);
}
#endif

template <bool half_even, typename Int, typename Sum, typename Out>
void requantize_fast(const Prepared<Int>& p, Limits limits, const Sum* sums, Out* out, std::size_t size) {
#if ESPDL_X86
  if (isa >= Isa::avx512) return requantize_avx512<half_even>(p, limits, sums, out, size);
  if (isa >= Isa::avx2) return requantize_avx2<half_even>(p, limits, sums, out, size);
#endif
  requantize_baseline<half_even>(p, limits, sums, out, size);
}

// What stands between the sums of a layer and its outputs, prepared once.
class Requantizer {
 public:
  // bias: one per channel, or empty. shift: one, or one per channel. bound: largest magnitude a sum without bias can have.
  Requantizer(std::vector<std::int64_t> bias, std::vector<std::int64_t> shift, std::size_t channels, bool half_even, bool relu,
              double bound)
      : bias_(std::move(bias)), shift_(std::move(shift)), channels_(channels), half_even_(half_even), relu_(relu) {
    bias_.resize(channels_, 0);
    shift_.resize(channels_, shift_.front());
    if (fits<std::int32_t>(bound)) {
      prepare(narrow_);
    } else if (fits<std::int64_t>(bound)) {
      prepare(wide_);
    }
  }

  std::size_t channels() const { return channels_; }

  template <typename Sum, typename Out>
  void run(const Sum* sums, Out* out, std::size_t rows) const {
    const Limits limits{relu_ ? 0 : std::numeric_limits<Out>::min(), std::numeric_limits<Out>::max()};
    if constexpr (!std::is_same_v<Sum, std::int64_t>) {
      if (!narrow_.offset.empty()) return run_fast(narrow_, limits, sums, out, rows);
    }
    if (!wide_.offset.empty()) return run_fast(wide_, limits, sums, out, rows);
    for (std::size_t row = 0; row < rows; ++row, sums += channels_, out += channels_) {
      for (std::size_t n = 0; n < channels_; ++n) {
        const std::int64_t sum = wrapping_add(static_cast<std::int64_t>(sums[n]), bias_[n]);
        out[n] = static_cast<Out>(std::clamp<std::int64_t>(shift_and_round(sum, shift_[n], half_even_), limits.low, limits.high));
      }
    }
  }

 private:
  static constexpr std::size_t kVectorRun = 256;

  // Whether every sum, its bias and half a step fit an Int together, with room to spare, and every shift is a right shift it knows.
  template <typename Int>
  bool fits(double bound) const {
    const double room = std::ldexp(1.0, std::numeric_limits<Int>::digits - 1);
    for (std::size_t n = 0; n < channels_; ++n) {
      if (shift_[n] < 0 || shift_[n] >= std::numeric_limits<Int>::digits - 1) return false;
      const double half = shift_[n] > 0 ? std::ldexp(0.5, static_cast<int>(shift_[n])) : 0.0;
      if (!(bound + std::abs(static_cast<double>(bias_[n])) + half < room)) return false;
    }
    return true;
  }

  template <typename Int>
  void prepare(Prepared<Int>& p) const {
    const std::size_t period = channels_ * ((kVectorRun + channels_ - 1) / channels_);
    p.offset.resize(period);
    p.right.resize(period);
    p.mask.resize(period);
    for (std::size_t i = 0; i < period; ++i) {
      const Int right = static_cast<Int>(shift_[i % channels_]);
      p.offset[i] = static_cast<Int>(bias_[i % channels_]) + (right > 0 ? Int{1} << (right - 1) : Int{0});
      p.right[i] = right;
      p.mask[i] = right > 0 ? (Int{1} << right) - 1 : Int{-1};
    }
  }

  template <typename Int, typename Sum, typename Out>
  void run_fast(const Prepared<Int>& p, Limits limits, const Sum* sums, Out* out, std::size_t rows) const {
    if (half_even_) {
      requantize_fast<true>(p, limits, sums, out, rows * channels_);
    } else {
      requantize_fast<false>(p, limits, sums, out, rows * channels_);
    }
  }

  std::vector<std::int64_t> bias_, shift_;
  std::size_t channels_;
  bool half_even_, relu_;
  Prepared<std::int32_t> narrow_;
  Prepared<std::int64_t> wide_;
};

}  // namespace espdl
