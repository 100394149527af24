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
  // Of stride 1: outputs [inside_from, inside_to) whose windows lie inside; none where the second is not larger.
  std::size_t inside_from() const { return std::min(before, outputs); }
  std::size_t inside_to() const { return length + before >= kernel ? std::min(length + before - kernel + 1, outputs) : 0; }
};

template <typename T>
struct Largest {
  using Sum = T;
  using Join = Largest;
  static constexpr T kStart = std::numeric_limits<T>::min();
  ESPDL_INLINE T operator()(T total, T value) const { return value > total ? value : total; }
};

// What combines two sums: the same on wider values.
template <typename Combine>
using Joined = typename Combine::Join;

// Sums in 32 bits that wrap, as NumPy's do.
template <typename T>
struct Total {
  using Sum = std::int32_t;
  using Join = Total<std::int32_t>;
  static constexpr Sum kStart = 0;
  ESPDL_INLINE Sum operator()(Sum total, T value) const {
    return static_cast<Sum>(static_cast<std::uint32_t>(total) + static_cast<std::uint32_t>(std::int32_t{value}));
  }
};

// Runs that are combined in one pass over the result.
inline constexpr std::size_t kRunsAtOnce = 5;

// total[i] = runs[0][i], runs[1][i], ... combined, runs being `step` apart; added to what is there unless `is_first`.
template <typename Combine, std::size_t count, bool is_first, typename Value>
ESPDL_INLINE void combine_some(const Value* runs, std::size_t step, std::size_t size, typename Combine::Sum* total) {
  const Combine combine{};
  ESPDL_IVDEP
  for (std::size_t i = 0; i < size; ++i) {
    typename Combine::Sum value = is_first ? Combine::kStart : total[i];
#pragma GCC unroll 8
    for (std::size_t run = 0; run < count; ++run) value = combine(value, runs[run * step + i]);
    total[i] = value;
  }
}

template <typename Combine, bool is_first, typename Value>
ESPDL_INLINE void combine_few(const Value* runs, std::size_t step, std::size_t count, std::size_t size, typename Combine::Sum* total) {
  static_assert(kRunsAtOnce == 5);
  switch (count) {
    case 1: return combine_some<Combine, 1, is_first>(runs, step, size, total);
    case 2: return combine_some<Combine, 2, is_first>(runs, step, size, total);
    case 3: return combine_some<Combine, 3, is_first>(runs, step, size, total);
    case 4: return combine_some<Combine, 4, is_first>(runs, step, size, total);
    default: return combine_some<Combine, 5, is_first>(runs, step, size, total);
  }
}

// The same for any number of runs.
template <typename Combine, typename Value>
ESPDL_INLINE void combine_runs(const Value* runs, std::size_t step, std::size_t count, std::size_t size, typename Combine::Sum* total) {
  if (count == 0) return static_cast<void>(std::fill_n(total, size, Combine::kStart));
  combine_few<Combine, true>(runs, step, std::min(count, kRunsAtOnce), size, total);
  for (std::size_t done = kRunsAtOnce; done < count; done += kRunsAtOnce) {
    combine_few<Combine, false>(runs + done * step, step, std::min(count - done, kRunsAtOnce), size, total);
  }
}

// The first pass over one row of outputs makes columns of the rows under it, the second combines the columns under each output. What the
// loops read is local: bytes that are stored may be anything else that is not.
template <typename T, typename Combine, typename Finish>
struct WindowRow {
  using Sum = typename Combine::Sum;
  const T* x;
  T* out;
  Sum* columns;
  Sum* totals;  // of the row of outputs; not used where a total is the output
  const Slide& rows;
  const Slide& across;
  std::size_t channels;
  Finish finish;

  ESPDL_INLINE void operator()(std::size_t row) const {
    const Slide slide = across;
    const std::size_t c = channels, width = slide.length * c, first = rows.first(row), line = slide.outputs * c;
    Sum* const above = columns;
    T* const target = out + row * line;
    Sum* total;
    if constexpr (Finish::is_identity) {
      total = target;
    } else {
      total = totals;
    }
    combine_runs<Combine>(x + first * width, width, rows.last(row) - first, width, above);
    // outputs of stride 1 whose windows lie inside are one long run
    const std::size_t begin = slide.stride == 1 ? slide.inside_from() : slide.outputs;
    const std::size_t end = slide.stride == 1 ? std::max(slide.inside_to(), begin) : slide.outputs;
    for (std::size_t column = 0; column < slide.outputs; ++column) {
      if (column == begin && end > begin) {
        const Sum* from = above + (begin - slide.before) * c;
        combine_runs<Joined<Combine>>(from, c, slide.kernel, (end - begin) * c, total + begin * c);
        if ((column = end) == slide.outputs) break;
      }
      const std::size_t from = slide.first(column);
      combine_runs<Joined<Combine>>(above + from * c, c, slide.last(column) - from, c, total + column * c);
    }
    if constexpr (!Finish::is_identity) {
      const Finish last = finish;
      ESPDL_IVDEP
      for (std::size_t i = 0; i < line; ++i) target[i] = last(total[i]);
    }
  }
};

struct Keep {
  static constexpr bool is_identity = true;
  template <typename T>
  ESPDL_INLINE T operator()(T value) const {
    return value;
  }
};

// fl32(fl32(fl32(total) * share) * scale), rounded: share is 1 / area, scale a power of two.
template <typename T, bool half_even>
struct ShareOf {
  static constexpr bool is_identity = false;
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
    return taps * static_cast<double>(rows_.outputs * channels_) * 0.01 * sizeof(typename Combine::Sum);
  }

  void run(std::size_t first, std::size_t last) const {
    using Sum = typename Combine::Sum;
    const std::size_t width = across_.length * channels_;
    const std::size_t line = Finish::is_identity ? 0 : across_.outputs * channels_;
    Sum* columns = reinterpret_cast<Sum*>(scratch((width + line) * sizeof(Sum)));
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
