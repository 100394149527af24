// What is measured of binary32 rows while a float network runs: their ends, and how the places that a kernel's taps meet vary together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "isa.hpp"
#include "vectorize.hpp"

namespace espdl {

// The smallest and the largest element of each row; NaN for both where the row holds one.
struct RowEnds {
  const float* x;
  float* ends;  // [rows, 2]
  std::size_t rows, columns;

  static constexpr std::size_t kLanes = 32;

  ESPDL_INLINE void operator()() const {
    for (std::size_t row = 0; row < rows; ++row) {
      const float* values = x + row * columns;
      float low[kLanes], high[kLanes], odd[kLanes];  // odd: 0, and NaN from the first NaN on
      for (std::size_t lane = 0; lane < kLanes; ++lane) low[lane] = high[lane] = values[0], odd[lane] = 0;
      std::size_t i = 0;
      for (; i + kLanes <= columns; i += kLanes) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          const float value = values[i + lane];
          low[lane] = value < low[lane] ? value : low[lane];
          high[lane] = value > high[lane] ? value : high[lane];
          odd[lane] = value == value ? odd[lane] : value;
        }
      }
      for (std::size_t lane = 0; i + lane < columns; ++lane) {
        const float value = values[i + lane];
        low[lane] = value < low[lane] ? value : low[lane];
        high[lane] = value > high[lane] ? value : high[lane];
        odd[lane] = value == value ? odd[lane] : value;
      }
      float least = low[0], most = high[0], nan = odd[0];
      for (std::size_t lane = 1; lane < kLanes; ++lane) {
        least = low[lane] < least ? low[lane] : least;
        most = high[lane] > most ? high[lane] : most;
        nan = odd[lane] == odd[lane] ? nan : odd[lane];
      }
      ends[2 * row] = nan == nan ? least : nan;
      ends[2 * row + 1] = nan == nan ? most : nan;
    }
  }
};

// Adds up, for every channel by itself, what the taps of a kernel see at some positions, and the products of every two of them: in binary64,
// where products of binary32 numbers are exact, one position after the other.
struct TapMoments {
  const float* x;             // [channels, size]
  const std::int32_t* places;  // [taps, positions]; negative for a zero of the padding
  double* sums;               // [channels, taps]
  double* products;           // [channels, taps, taps]
  std::size_t channels, size, taps, positions;

  static constexpr std::size_t kLanes = 8;  // channels at once
  std::size_t scratch_bytes() const { return taps * positions * kLanes * sizeof(double); }

  // seen: [taps, positions, kLanes], of scratch_bytes().
  ESPDL_INLINE void operator()(double* seen) const {
    for (std::size_t first = 0; first < channels; first += kLanes) add(seen, first, std::min(kLanes, channels - first));
  }

  ESPDL_INLINE void add(double* seen, std::size_t first, std::size_t count) const {
    for (std::size_t at = 0; at < taps * positions; ++at) {
      double* to = seen + at * kLanes;
      const std::int32_t place = places[at];
      const float* from = x + first * size + static_cast<std::size_t>(std::max(place, 0));
      for (std::size_t lane = 0; lane < count; ++lane) to[lane] = place < 0 ? 0.0 : static_cast<double>(from[lane * size]);
      for (std::size_t lane = count; lane < kLanes; ++lane) to[lane] = 0.0;
    }
    for (std::size_t t = 0; t < taps; ++t) {
      const double* one = seen + t * positions * kLanes;
      double total[kLanes];
      for (std::size_t lane = 0; lane < kLanes; ++lane) total[lane] = lane < count ? sums[(first + lane) * taps + t] : 0.0;
      for (std::size_t p = 0; p < positions; ++p) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) total[lane] += one[p * kLanes + lane];
      }
      for (std::size_t lane = 0; lane < count; ++lane) sums[(first + lane) * taps + t] = total[lane];
      for (std::size_t u = 0; u <= t; ++u) {
        const double* other = seen + u * positions * kLanes;
        const auto place = [&](std::size_t lane) { return ((first + lane) * taps + t) * taps + u; };
        for (std::size_t lane = 0; lane < kLanes; ++lane) total[lane] = lane < count ? products[place(lane)] : 0.0;
        for (std::size_t p = 0; p < positions; ++p) {
          for (std::size_t lane = 0; lane < kLanes; ++lane) total[lane] += one[p * kLanes + lane] * other[p * kLanes + lane];
        }
        for (std::size_t lane = 0; lane < count; ++lane) {
          products[place(lane)] = total[lane];
          products[((first + lane) * taps + u) * taps + t] = total[lane];
        }
      }
    }
  }
};

}  // namespace espdl
