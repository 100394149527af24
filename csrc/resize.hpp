// Linear interpolation of [H, W, C] in binary32, horizontal first (runtime spec 3.11).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "elementwise.hpp"
#include "pool.hpp"
#include "vectorize.hpp"

namespace espdl {

// Which two source positions make each target position: rest * x[low] + ratio * x[high].
struct Taps {
  std::vector<std::size_t> low, high;
  std::vector<float> ratio, rest;
};

// One source row, interpolated horizontally.
struct AcrossRow {
  const std::int8_t* x;
  float* out;
  const Taps& taps;
  std::size_t channels;

  ESPDL_INLINE void operator()() const {
    for (std::size_t i = 0; i < taps.low.size(); ++i) {
      const std::int8_t* a = x + taps.low[i] * channels;
      const std::int8_t* b = x + taps.high[i] * channels;
      const float rest = taps.rest[i], ratio = taps.ratio[i];
      float* target = out + i * channels;
      ESPDL_IVDEP
      for (std::size_t c = 0; c < channels; ++c) target[c] = static_cast<float>(a[c]) * rest + static_cast<float>(b[c]) * ratio;
    }
  }
};

// One target row from the two rows around it; b is null where only columns are resized.
template <bool half_even>
struct BetweenRows {
  const float* a;
  const float* b;
  std::int8_t* out;
  float rest, ratio, scale;
  std::size_t size;

  ESPDL_INLINE void operator()() const {
    if (b == nullptr) {
      ESPDL_IVDEP
      for (std::size_t i = 0; i < size; ++i) out[i] = rounded<half_even, std::int8_t>(a[i] * scale);
    } else {
      ESPDL_IVDEP
      for (std::size_t i = 0; i < size; ++i) out[i] = rounded<half_even, std::int8_t>((a[i] * rest + b[i] * ratio) * scale);
    }
  }
};

template <bool half_even>
class LinearResize {
 public:
  // rows: empty when only columns are resized; x is then one row.
  LinearResize(const std::int8_t* x, std::int8_t* out, Taps rows, Taps across, std::size_t width, std::size_t channels, float scale)
      : x_(x), out_(out), rows_(std::move(rows)), across_(std::move(across)), width_(width), channels_(channels), scale_(scale) {}

  std::size_t tiles() const { return rows_.low.empty() ? 1 : rows_.low.size(); }
  double nanoseconds() const { return static_cast<double>(tiles() * across_.low.size() * channels_) * 0.4; }

  void run(std::size_t first, std::size_t last) const {
    const std::size_t size = across_.low.size() * channels_;
    float* kept[2] = {reinterpret_cast<float*>(scratch(2 * size * sizeof(float))), nullptr};
    kept[1] = kept[0] + size;
    constexpr std::size_t kNone = ~std::size_t{0};
    std::size_t held[2] = {kNone, kNone};
    // The interpolated source row, kept from the target row before where it is still there; `other` must not be overwritten.
    const auto across = [&](std::size_t row, std::size_t other) {
      for (int i = 0; i < 2; ++i) {
        if (held[i] == row) return kept[i];
      }
      const int place = held[0] == other && other != kNone ? 1 : 0;
      vectorized(AcrossRow{x_ + row * width_ * channels_, kept[place], across_, channels_});
      held[place] = row;
      return kept[place];
    };
    for (std::size_t row = first; row < last; ++row) {
      std::int8_t* target = out_ + row * size;
      if (rows_.low.empty()) {
        vectorized(BetweenRows<half_even>{across(0, kNone), nullptr, target, 1, 0, scale_, size});
        continue;
      }
      const std::size_t low = rows_.low[row], high = rows_.high[row];
      const float* a = across(low, high);
      const float* b = across(high, low);
      vectorized(BetweenRows<half_even>{a, b, target, rows_.rest[row], rows_.ratio[row], scale_, size});
    }
  }

 private:
  const std::int8_t* x_;
  std::int8_t* out_;
  Taps rows_, across_;
  std::size_t width_, channels_;
  float scale_;
};

}  // namespace espdl
