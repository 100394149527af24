// Between integers and binary32: quantizing, dequantizing (runtime spec 2.2), and Softmax by a table of exponentials (runtime spec 3.12).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "elementwise.hpp"
#include "vectorize.hpp"

namespace espdl {

// saturate(round(x * scale)) of real values; NaN gives 0.
template <typename To, bool half_even>
class Quantize {
 public:
  // overlaps: the outputs begin where the inputs do. Each piece is then read before it is written, from the front.
  Quantize(const float* x, To* out, std::size_t size, float scale, bool overlaps)
      : x_(x), out_(out), size_(size), scale_(scale), overlaps_(overlaps) {}

  std::size_t tiles() const { return overlaps_ ? 1 : pieces(); }
  double nanoseconds() const { return static_cast<double>(size_) * 0.15; }

  struct Body {
    const float* x;
    To* out;
    float scale;
    ESPDL_INLINE void operator()(std::size_t size) const {
      // An int8 that is written might be a part of this, for all that the compiler knows.
      const float* from = x;
      To* to = out;
      const float factor = scale;
      ESPDL_IVDEP
      for (std::size_t i = 0; i < size; ++i) {
        const float value = from[i] * factor;
        to[i] = rounded<half_even, To>(value == value ? value : 0.0f);
      }
    }
  };

  void run(std::size_t first, std::size_t last) const {
    if (overlaps_) last = pieces();
    for (std::size_t piece = first; piece < last; ++piece) {
      const std::size_t begin = piece * kPiece, count = std::min(kPiece, size_ - begin);
      To made[kPiece];
      vectorized(Body{x_ + begin, made, scale_}, count);
      std::memcpy(out_ + begin, made, count * sizeof(To));
    }
  }

 private:
  static constexpr std::size_t kPiece = 1024;
  std::size_t pieces() const { return (size_ + kPiece - 1) / kPiece; }

  const float* x_;
  To* out_;
  std::size_t size_;
  float scale_;
  bool overlaps_;
};

template <typename From>
struct Dequantize {
  const From* x;
  float* out;
  std::size_t size;
  float scale;

  static constexpr std::size_t kTile = 4096;
  std::size_t tiles() const { return (size + kTile - 1) / kTile; }
  double nanoseconds() const { return static_cast<double>(size) * 0.2; }
  ESPDL_INLINE void operator()(std::size_t begin, std::size_t end) const {
    ESPDL_IVDEP
    for (std::size_t i = begin; i < end; ++i) out[i] = static_cast<float>(x[i]) * scale;
  }
  void run(std::size_t first, std::size_t last) const { vectorized(*this, first * kTile, std::min(last * kTile, size)); }
};

// exp(x) / sum(exp(x)) of rows, the sum from the first element to the last. table: the exponential of every bit pattern.
struct RowSoftmax {
  const std::int8_t* x;
  float* out;
  const float* table;
  std::size_t rows, columns;

  std::size_t tiles() const { return rows; }
  double nanoseconds() const { return static_cast<double>(rows * columns) * 1.2; }
  ESPDL_INLINE void operator()(std::size_t row) const {
    const std::int8_t* values = x + row * columns;
    float* target = out + row * columns;
    float sum = 0;
    for (std::size_t i = 0; i < columns; ++i) {
      target[i] = table[static_cast<std::uint8_t>(values[i])];
      sum += target[i];
    }
    ESPDL_IVDEP
    for (std::size_t i = 0; i < columns; ++i) target[i] = target[i] / sum;
  }
  void run(std::size_t first, std::size_t last) const {
    for (std::size_t row = first; row < last; ++row) vectorized(*this, row);
  }
};

}  // namespace espdl
