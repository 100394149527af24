// The tables of sums that are added up in accumulators of any kind, and what is done with them.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "lookup.hpp"
#include "mac.hpp"

namespace espdl {

// Whether 32 bits have room for every value on the way.
inline bool lanes_fit_32_bits(const Filter& f) {
  for (std::size_t n = 0; n < f.outputs; ++n) {
    const double bound = static_cast<double>(f.magnitudes[n]) * static_cast<double>(f.largest_input());
    if (bound + std::abs(static_cast<double>(f.bias[n])) >= 0x1p30) return false;
    if (!f.lanes[n].wraps && f.lanes[n].high >= std::int64_t{1} << 30) return false;
  }
  return true;
}

// Outputs are padded to whole strips; those behind the last have no weights, no bias and no ends.
template <typename Int>
class LaneTables {
 public:
  explicit LaneTables(const Filter& f) : outputs_(f.outputs), taps_(f.taps()), narrow_outputs_(f.narrow_outputs) {
    constexpr Int kFar = Int{1} << (sizeof(Int) * 8 - 2);
    const std::size_t lanes = strips() * kStrip;
    weights_.assign(taps_ * lanes, 0);
    bias_.assign(lanes, 0);
    start_.assign(lanes, 0);
    saturates_.assign(lanes, 0);
    low_.assign(lanes, -kFar);
    high_.assign(lanes, kFar - 1);
    wrap_shift_.assign(lanes, 0);
    wraps_.assign(strips(), false);
    for (std::size_t n = 0; n < f.outputs; ++n) {
      for (std::size_t tap = 0; tap < taps_; ++tap) {
        weights_[(n / kStrip * taps_ + tap) * kStrip + n % kStrip] = f.weights[tap * f.outputs + n];
      }
      const Lane& lane = f.lanes[n];
      bias_[n] = static_cast<Int>(f.bias[n]);
      if (!lane.wraps) {
        saturates_[n] = 1;
        low_[n] = static_cast<Int>(lane.low);
        high_[n] = static_cast<Int>(lane.high);
        start_[n] = static_cast<Int>(std::clamp(f.bias[n], lane.low, lane.high));
        is_widest_ |= lane.high >= std::int64_t{1} << 62;
      } else {
        const int bits = std::bit_width(static_cast<std::uint64_t>(lane.high)) + 1;
        wrap_shift_[n] = std::max(static_cast<int>(sizeof(Int)) * 8 - bits, 0);
        if (wrap_shift_[n] > 0) wraps_[n / kStrip] = true;
      }
    }
    for (std::size_t first = 0; first < f.outputs; first += kStrip) add_requantizer(f, first);
  }

  std::size_t strips() const { return divide_up(outputs_, kStrip); }
  std::size_t channels(std::size_t strip) const { return std::min(kStrip, outputs_ - strip * kStrip); }

  LaneStrip<Int> strip(std::size_t number) const {
    const std::size_t n = number * kStrip;
    return {&weights_[n * taps_], &bias_[n], &start_[n], &low_[n], &high_[n], &saturates_[n], wraps_[number] ? &wrap_shift_[n] : nullptr,
            is_widest_};
  }

  // Outputs of a strip from its sums [kStrip] of one position after the other, through a table of 256 entries where there is one, each to
  // the place `place(i)` of the strip's first output. done: scratch, [count][kStrip] outputs.
  template <typename Place>
  void finish(std::size_t strip, const Int* sums, std::size_t count, const std::int8_t* table, std::byte* done, Place place) const {
    const std::size_t size = narrow_outputs_ ? 1 : 2, bytes = channels(strip) * size;
    if (narrow_outputs_) {
      auto* values = reinterpret_cast<std::int8_t*>(done);
      requantizers_[strip].run(sums, values, count);
      if (table != nullptr) lookup8(table, values, values, count * kStrip);
    } else {
      requantizers_[strip].run(sums, reinterpret_cast<std::int16_t*>(done), count);
    }
    for (std::size_t i = 0; i < count; ++i) std::memcpy(place(i), done + i * kStrip * size, bytes);
  }

  void count(std::size_t strip, const std::uint32_t* counts, std::atomic<std::uint32_t>* differing) const {
    for (std::size_t i = 0; i < channels(strip); ++i) {
      if (counts[i] != 0) differing[strip * kStrip + i].fetch_add(counts[i], std::memory_order_relaxed);
    }
  }

 private:
  // Sums hold their bias.
  void add_requantizer(const Filter& f, std::size_t first) {
    std::vector<std::int64_t> shift(kStrip, f.shift[first]);
    double bound = sizeof(Int) == 8 ? 0x1p31 : 0;  // sums of 64 bits are finished in 64
    for (std::size_t n = first; n < std::min(first + kStrip, f.outputs); ++n) {
      shift[n - first] = f.shift[n];
      const double sum = static_cast<double>(f.magnitudes[n]) * static_cast<double>(f.largest_input());
      bound = std::max(bound, sum + std::abs(static_cast<double>(f.bias[n])));
    }
    requantizers_.emplace_back(std::vector<std::int64_t>{}, std::move(shift), kStrip, f.half_even, f.relu, bound);
  }

  std::size_t outputs_, taps_;
  bool narrow_outputs_, is_widest_ = false;
  Aligned<std::int32_t> weights_;               // [strips][taps][kStrip]
  Aligned<Int> bias_, start_, saturates_, low_, high_;
  std::vector<int> wrap_shift_;
  std::vector<bool> wraps_;                     // of each strip
  std::vector<Requantizer> requantizers_;       // of each strip
};

// How far a sum can rise from the bias, or fall, before it leaves the accumulator; negative where the bias is outside.
struct Room {
  double up, down;
  Room(const Lane& lane, std::int64_t bias) : up(std::numeric_limits<double>::infinity()), down(up) {
    if (lane.is_plain()) return;
    // binary64 may round what is beyond 2**53
    const double slack = lane.high > std::int64_t{1} << 52 || std::abs(static_cast<double>(bias)) > 0x1p52 ? 0x1p14 : 0;
    const auto less = [slack](double room) { return room - std::abs(room) * 0x1p-50 - slack; };
    up = less(static_cast<double>(lane.high) - static_cast<double>(bias));
    down = less(static_cast<double>(bias) - static_cast<double>(lane.low));
  }
};

}  // namespace espdl
