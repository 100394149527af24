#include "guard.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace espdl {

GuardTables::GuardTables(const Filter& f) {
  const std::size_t blocks = divide_up(f.outputs, kGuardBlock), lanes = blocks * kGuardBlock, taps = f.taps();
  constexpr auto kLowest = std::numeric_limits<std::int32_t>::min(), kHighest = std::numeric_limits<std::int32_t>::max();
  const std::size_t groups = divide_up(taps, 4), stretches = divide_up(taps, kStretch);
  weights_.assign(lanes * groups * 4, 0);
  stretch_correction_.assign(lanes * stretches, 0);
  stretch_norm_.assign(lanes * stretches, 0.0f);
  bias_.assign(lanes, 0);
  low_.assign(lanes, kLowest);
  high_.assign(lanes, kHighest);
  norm_.assign(lanes, 0.0f);
  twice_low_.assign(lanes, -std::numeric_limits<float>::infinity());
  twice_high_.assign(lanes, std::numeric_limits<float>::infinity());
  // binary32 rounds what is compared: sums, biases and products of norms, none larger than this
  double largest = 0;
  for (std::size_t n = 0; n < f.outputs; ++n) {
    largest = std::max(largest, 4.0 * (static_cast<double>(f.magnitudes[n]) * 128 + 2 * std::abs(static_cast<double>(f.bias[n]))));
  }
  const double slack = largest * 0x1p-20 + 2;
  double room = std::numeric_limits<double>::infinity(), largest_norm = 0;
  for (std::size_t n = 0; n < f.outputs; ++n) {
    double squares = 0;
    for (std::size_t tap = 0; tap < taps; ++tap) {
      const int weight = f.weights[tap * f.outputs + n];
      const std::size_t block = n / kGuardBlock, lane = n % kGuardBlock;
      squares += double{1} * weight * weight;
      weights_[((block * groups + tap / 4) * kGuardBlock + lane) * 4 + tap % 4] = static_cast<std::int8_t>(weight);
      const std::size_t entry = (block * stretches + tap / kStretch) * kGuardBlock + lane;
      stretch_correction_[entry] += 128 * weight;
      stretch_norm_[entry] += static_cast<float>(weight * weight);
    }
    const auto bias = static_cast<double>(f.bias[n]);
    bias_[n] = static_cast<std::int32_t>(f.bias[n]);
    norm_[n] = static_cast<float>(std::sqrt(squares) * 1.00001);
    if (f.low[n] == kLowest && f.high[n] == kHighest) continue;
    low_[n] = f.low[n];
    high_[n] = f.high[n];
    twice_low_[n] = static_cast<float>(2.0 * f.low[n] + slack);
    twice_high_[n] = static_cast<float>(2.0 * f.high[n] - slack);
    largest_norm = std::max(largest_norm, std::sqrt(squares) * 1.00001);
    room = std::min({room, f.high[n] - bias - slack, bias - f.low[n] - slack});
  }
  for (float& value : stretch_norm_) value = std::sqrt(value) * 1.00001f;
  guard_ = {taps,         f.outputs,          stretches,          weights_.data(),    stretch_correction_.data(),
            stretch_norm_.data(), bias_.data(),      low_.data(),
            high_.data(), norm_.data(), twice_low_.data(), twice_high_.data(),
            static_cast<float>(largest_norm), static_cast<float>(room)};
}

}  // namespace espdl
