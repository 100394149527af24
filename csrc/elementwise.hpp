// Element-wise arithmetic on int8 and int16 with broadcasting (runtime spec 3.1, 3.7). Every expression is that of the NumPy kernels.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "lookup.hpp"
#include "vectorize.hpp"

namespace espdl {

// Shifts that the 32-bit forms below compute exactly for values up to 2**30; others are left to the NumPy kernels.
inline constexpr int kLowestShift = -62, kLargestShift = 30;
// Powers of two that scale a binary32 value of an integer without leaving its range downwards.
inline constexpr int kLargestScale = 60;

// value / 2**shift, rounded, for a right shift. Int holds the value plus half a step.
template <bool half_even, typename Int>
struct ShiftRight {
  Int half, mask;
  int right;

  explicit ShiftRight(int shift)
      : half(static_cast<Int>(shift > 0 ? Int{1} << (shift - 1) : 0)),
        mask(static_cast<Int>(shift > 0 ? (Int{1} << shift) - 1 : -1)),
        right(shift) {}

  ESPDL_INLINE Int operator()(Int value) const {
    const Int raised = static_cast<Int>(value + half);
    const Int quotient = static_cast<Int>(raised >> right);
    if constexpr (half_even) return (raised & mask) == 0 ? static_cast<Int>(quotient & ~Int{1}) : quotient;
    return quotient;
  }
};

// The same for shifts of both signs and values up to 2**30 that are saturated to 16 bits or fewer afterwards. Before a left shift the
// value is clamped to 16 bits, which changes nothing behind that saturation.
template <bool half_even>
struct ShiftAny {
  std::int32_t low, high;
  int left;
  ShiftRight<half_even, std::int32_t> right;

  explicit ShiftAny(int shift)
      : low(shift < 0 ? -32768 : std::numeric_limits<std::int32_t>::min()),
        high(shift < 0 ? 32767 : std::numeric_limits<std::int32_t>::max()),
        left(std::min(std::max(-shift, 0), 15)),
        right(std::max(shift, 0)) {}

  ESPDL_INLINE std::int32_t operator()(std::int32_t value) const {
    value = value < low ? low : value;
    value = value > high ? high : value;
    return right(static_cast<std::int32_t>(static_cast<std::uint32_t>(value) << left));
  }
};

template <typename Out, typename Int>
ESPDL_INLINE Out saturated(Int value) {
  constexpr Int low = std::numeric_limits<Out>::min(), high = std::numeric_limits<Out>::max();
  value = value < low ? low : value;
  value = value > high ? high : value;
  return static_cast<Out>(value);
}

// saturate(round(value)) of a binary32 value that is no NaN. Saturating first changes nothing, since the ends are integers; what is left
// is small enough to be rounded by adding 1.5 * 2**23, or by a conversion.
template <bool half_even, typename Out>
ESPDL_INLINE Out rounded(float value) {
  constexpr float low = std::numeric_limits<Out>::min(), high = std::numeric_limits<Out>::max();
  if constexpr (!half_even) value += 0.5f;
  value = value < low ? low : value;
  value = value > high ? high : value;
  if constexpr (half_even) {
    constexpr float magic = 12582912.0f;
    return static_cast<Out>(static_cast<std::int32_t>((value + magic) - magic));
  } else {
    const std::int32_t cut = static_cast<std::int32_t>(value);
    return static_cast<Out>(cut - (static_cast<float>(cut) > value ? 1 : 0));
  }
}

// Operations: one value of each operand in, one out.

template <typename T, int sign>
struct SumOf {
  using Out = T;
  ESPDL_INLINE T operator()(T a, T b) const {
    using Wide = std::conditional_t<sizeof(T) == 1, std::int16_t, std::int32_t>;
    return saturated<T>(static_cast<Wide>(sign > 0 ? Wide{a} + Wide{b} : Wide{a} - Wide{b}));
  }
};

template <typename T, typename Int, typename Shift>
struct ProductOf {
  using Out = T;
  Shift shift;
  ESPDL_INLINE T operator()(T a, T b) const { return saturated<T>(shift(static_cast<Int>(Int{a} * Int{b}))); }
};

template <typename T, bool half_even>
struct FloatProductOf {
  using Out = T;
  float scale;
  ESPDL_INLINE T operator()(T a, T b) const { return rounded<half_even, T>(static_cast<float>(a) * static_cast<float>(b) * scale); }
};

// a / 0 is the end of the range that a points to, 0 / 0 is 0.
template <typename T, bool half_even, bool by_reciprocal>
struct QuotientOf {
  using Out = T;
  float scale;
  ESPDL_INLINE T operator()(T a, T b) const {
    const float divisor = static_cast<float>(b == 0 ? T{1} : b), dividend = static_cast<float>(a);
    const T value = rounded<half_even, T>(by_reciprocal ? dividend * (scale / divisor) : dividend * scale / divisor);
    const T end = a > 0 ? std::numeric_limits<T>::max() : a < 0 ? std::numeric_limits<T>::min() : T{0};
    return b == 0 ? end : value;
  }
};

enum class Relation { equal, greater, greater_or_equal };

template <typename T, Relation relation>
struct Compared {
  using Out = std::uint8_t;
  ESPDL_INLINE std::uint8_t operator()(T a, T b) const {
    return relation == Relation::equal ? a == b : relation == Relation::greater ? a > b : a >= b;
  }
};

template <typename In, typename To, typename Shift>
struct Shifted {
  using Out = To;
  Shift shift;
  ESPDL_INLINE To operator()(In a, In) const { return saturated<To>(shift(std::int32_t{a})); }
};

template <typename T, bool half_even>
struct PReluOf {
  using Out = T;
  ShiftAny<half_even> positive, negative;
  ESPDL_INLINE T operator()(T a, T slope) const {
    const std::int32_t x = a, kept = positive(x), scaled = negative(x * std::int32_t{slope});
    return saturated<T>(x >= 0 ? kept : scaled);
  }
};

// Two operands broadcast to one output. Axes are merged: the last one has steps of 0 or 1 in each operand.
struct Grid {
  static constexpr std::size_t kRank = 4;
  std::array<std::size_t, kRank> extent{1, 1, 1, 1};
  std::array<std::size_t, kRank> step_a{}, step_b{};

  std::size_t inner() const { return extent[kRank - 1]; }
  std::size_t rows() const { return extent[0] * extent[1] * extent[2]; }
  std::size_t size() const { return rows() * inner(); }

  std::size_t offset(const std::array<std::size_t, kRank>& step, std::size_t row) const {
    std::size_t result = 0;
    for (std::size_t axis = kRank - 1; axis-- > 1;) {
      if (extent[axis] == 1) continue;
      result += row % extent[axis] * step[axis];
      row /= extent[axis];
    }
    return result + row * step[0];
  }
};

template <typename T, typename Operation>
struct RowOf {
  const T* a;
  const T* b;
  typename Operation::Out* out;
  const Grid& grid;
  Operation operation;

  // Elements [start, stop) of the rows [first, last); part of a row only when there is one row.
  ESPDL_INLINE void operator()(std::size_t first, std::size_t last, std::size_t start, std::size_t stop) const {
    const bool a_moves = grid.step_a[Grid::kRank - 1] != 0, b_moves = grid.step_b[Grid::kRank - 1] != 0;
    const std::size_t inner = grid.inner();
    for (std::size_t row = first; row < last; ++row) {
      const T* x = a + grid.offset(grid.step_a, row);
      const T* y = b + grid.offset(grid.step_b, row);
      auto* z = out + row * inner;
      if (a_moves && b_moves) {
        ESPDL_IVDEP
        for (std::size_t i = start; i < stop; ++i) z[i] = operation(x[i], y[i]);
      } else if (a_moves) {
        const T value = *y;
        ESPDL_IVDEP
        for (std::size_t i = start; i < stop; ++i) z[i] = operation(x[i], value);
      } else {
        const T value = *x;
        ESPDL_IVDEP
        for (std::size_t i = start; i < stop; ++i) z[i] = operation(value, b_moves ? y[i] : *y);
      }
    }
  }
};

// Computes pieces of about kTile elements, each followed by a table while it is in the cache. table: 256 entries, or none.
template <typename T, typename Operation>
class Elementwise {
 public:
  static constexpr std::size_t kTile = 8192;

  Elementwise(const T* a, const T* b, typename Operation::Out* out, Grid grid, Operation operation, const std::int8_t* table)
      : a_(a), b_(b), out_(out), grid_(grid), operation_(operation), table_(table) {
    rows_per_tile_ = std::max<std::size_t>(kTile / std::max<std::size_t>(grid_.inner(), 1), 1);
  }

  double nanoseconds() const { return static_cast<double>(grid_.size()) * 0.1 + static_cast<double>(grid_.rows()) * 3; }
  std::size_t tiles() const {
    if (grid_.rows() == 1) return (grid_.inner() + kTile - 1) / kTile;
    return (grid_.rows() + rows_per_tile_ - 1) / rows_per_tile_;
  }

  void run(std::size_t first, std::size_t last) const {
    const RowOf<T, Operation> rows{a_, b_, out_, grid_, operation_};
    const std::size_t inner = grid_.inner();
    for (std::size_t tile = first; tile < last; ++tile) {
      std::size_t begin, end;
      if (grid_.rows() == 1) {
        begin = tile * kTile;
        end = std::min(begin + kTile, inner);
        vectorized(rows, std::size_t{0}, std::size_t{1}, begin, end);
      } else {
        const std::size_t row = tile * rows_per_tile_, stop = std::min(row + rows_per_tile_, grid_.rows());
        vectorized(rows, row, stop, std::size_t{0}, inner);
        begin = row * inner;
        end = stop * inner;
      }
      if constexpr (std::is_same_v<typename Operation::Out, std::int8_t>) {
        if (table_ != nullptr) lookup8(table_, out_ + begin, out_ + begin, end - begin);
      }
    }
  }

 private:
  const T* a_;
  const T* b_;
  typename Operation::Out* out_;
  Grid grid_;
  Operation operation_;
  const std::int8_t* table_;
  std::size_t rows_per_tile_;
};

}  // namespace espdl
