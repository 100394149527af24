// Maximum and mean over windows of [H, W, C], and means over a run of axes (runtime spec 3.9, 3.10).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "elementwise.hpp"
#include "pool.hpp"
#include "vectorize.hpp"

namespace espdl {

// How a window moves along one axis.
struct Slide {
  std::size_t length, kernel, stride, before, outputs;

  // Inputs [first, last) under the window at an output, outside ones left out.
  std::size_t first(std::size_t output) const {
    const std::size_t start = output * stride;
    return start > before ? std::min(start - before, length) : 0;
  }
  std::size_t last(std::size_t output) const {
    const std::size_t end = output * stride + kernel;
    return std::max(end > before ? std::min(end - before, length) : 0, first(output));
  }
};

template <typename T>
struct Largest {
  using Sum = T;
  static constexpr T kStart = std::numeric_limits<T>::min();
  ESPDL_INLINE T operator()(T total, T value) const { return value > total ? value : total; }
};

// Sums in 32 bits that wrap, as NumPy's do.
template <typename T>
struct Total {
  using Sum = std::int32_t;
  static constexpr Sum kStart = 0;
  ESPDL_INLINE Sum operator()(Sum total, T value) const {
    return static_cast<Sum>(static_cast<std::uint32_t>(total) + static_cast<std::uint32_t>(std::int32_t{value}));
  }
};

// The first pass over one row of outputs makes columns of the rows under it, the second combines the columns under each output.
template <typename T, typename Combine, typename Finish>
struct WindowRow {
  using Sum = typename Combine::Sum;
  const T* x;
  T* out;
  Sum* columns;
  Sum* total;
  const Slide& rows;
  const Slide& across;
  std::size_t channels;
  const Finish& finish;

  ESPDL_INLINE void operator()(std::size_t row) const {
    const Combine combine{};
    const std::size_t width = across.length * channels, first = rows.first(row), last = rows.last(row);
    ESPDL_IVDEP
    for (std::size_t i = 0; i < width; ++i) columns[i] = Combine::kStart;
    for (std::size_t y = first; y < last; ++y) {
      const T* line = x + y * width;
      ESPDL_IVDEP
      for (std::size_t i = 0; i < width; ++i) columns[i] = combine(columns[i], line[i]);
    }
    for (std::size_t column = 0; column < across.outputs; ++column) {
      T* target = out + (row * across.outputs + column) * channels;
      const std::size_t from = across.first(column), to = across.last(column);
      ESPDL_IVDEP
      for (std::size_t c = 0; c < channels; ++c) total[c] = Combine::kStart;
      for (std::size_t z = from; z < to; ++z) {
        const Sum* values = columns + z * channels;
        ESPDL_IVDEP
        for (std::size_t c = 0; c < channels; ++c) total[c] = joined(total[c], values[c]);
      }
      ESPDL_IVDEP
      for (std::size_t c = 0; c < channels; ++c) target[c] = finish(total[c]);
    }
  }

  static ESPDL_INLINE Sum joined(Sum a, Sum b) {
    if constexpr (std::is_same_v<Combine, Largest<T>>) {
      return b > a ? b : a;
    } else {
      return static_cast<Sum>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
    }
  }
};

struct Keep {
  template <typename T>
  ESPDL_INLINE T operator()(T value) const {
    return value;
  }
};

// fl32(fl32(fl32(total) * share) * scale), rounded: share is 1 / area, scale a power of two.
template <typename T, bool half_even>
struct ShareOf {
  float share, scale;
  ESPDL_INLINE T operator()(std::int32_t total) const { return rounded<half_even, T>(static_cast<float>(total) * share * scale); }
};

template <typename T, typename Combine, typename Finish>
class WindowPool {
 public:
  WindowPool(const T* x, T* out, Slide rows, Slide across, std::size_t channels, Finish finish)
      : x_(x), out_(out), rows_(rows), across_(across), channels_(channels), finish_(finish) {}

  std::size_t tiles() const { return rows_.outputs; }
  double nanoseconds() const {
    const auto taps = static_cast<double>(rows_.kernel * across_.length + across_.kernel * across_.outputs);
    return taps * static_cast<double>(rows_.outputs * channels_) * 0.03 * sizeof(typename Combine::Sum);
  }

  void run(std::size_t first, std::size_t last) const {
    using Sum = typename Combine::Sum;
    const std::size_t width = across_.length * channels_;
    Sum* columns = reinterpret_cast<Sum*>(scratch((width + channels_) * sizeof(Sum)));
    const WindowRow<T, Combine, Finish> body{x_, out_, columns, columns + width, rows_, across_, channels_, finish_};
    for (std::size_t row = first; row < last; ++row) vectorized(body, row);
  }

 private:
  const T* x_;
  T* out_;
  Slide rows_, across_;
  std::size_t channels_;
  Finish finish_;
};

// Means of [outer, reduced, inner] over the middle axis: fl32(fl32(fl32(sum) * scale_in) / fl32(count)) * scale_out, rounded.
template <typename T, bool half_even>
class MiddleMean {
 public:
  using Sum = std::conditional_t<sizeof(T) == 1, std::int32_t, std::int64_t>;

  MiddleMean(const T* x, T* out, std::size_t outer, std::size_t reduced, std::size_t inner, float scale_in, float scale_out)
      : x_(x), out_(out), outer_(outer), reduced_(reduced), inner_(inner), scale_in_(scale_in), scale_out_(scale_out) {}

  std::size_t tiles() const { return outer_; }
  double nanoseconds() const { return static_cast<double>(outer_ * reduced_ * inner_) * 0.1 * sizeof(T); }

  struct Body {
    const MiddleMean& mean;
    Sum* total;

    ESPDL_INLINE void operator()(std::size_t row) const {
      const T* x = mean.x_ + row * mean.reduced_ * mean.inner_;
      T* out = mean.out_ + row * mean.inner_;
      const std::size_t inner = mean.inner_;
      if (inner == 1) {
        Sum sum = 0;
        for (std::size_t i = 0; i < mean.reduced_; ++i) sum += x[i];
        *total = sum;
      } else {
        ESPDL_IVDEP
        for (std::size_t c = 0; c < inner; ++c) total[c] = 0;
        for (std::size_t i = 0; i < mean.reduced_; ++i, x += inner) {
          ESPDL_IVDEP
          for (std::size_t c = 0; c < inner; ++c) total[c] += x[c];
        }
      }
      const float count = static_cast<float>(mean.reduced_);
      ESPDL_IVDEP
      for (std::size_t c = 0; c < inner; ++c) {
        out[c] = rounded<half_even, T>(static_cast<float>(total[c]) * mean.scale_in_ / count * mean.scale_out_);
      }
    }
  };

  void run(std::size_t first, std::size_t last) const {
    const Body body{*this, reinterpret_cast<Sum*>(scratch(inner_ * sizeof(Sum)))};
    for (std::size_t row = first; row < last; ++row) vectorized(body, row);
  }

 private:
  const T* x_;
  T* out_;
  std::size_t outer_, reduced_, inner_;
  float scale_in_, scale_out_;
};

}  // namespace espdl
