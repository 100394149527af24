#include "mac.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace espdl {

void Filter::add_up_magnitudes() {
  magnitudes.assign(outputs, 0);
  for (std::size_t tap = 0; tap < taps(); ++tap) {
    for (std::size_t n = 0; n < outputs; ++n) magnitudes[n] += std::abs(int{weights[tap * outputs + n]});
  }
}

double Filter::bound() const {
  const std::int64_t most = *std::max_element(magnitudes.begin(), magnitudes.end());
  return static_cast<double>(most) * static_cast<double>(largest_input());
}

bool Filter::finishes_in_32_bits() const {
  for (std::size_t n = 0; n < outputs; ++n) {
    if (shift[n] < 0 || shift[n] > 31) return false;
    const double half = shift[n] > 0 ? std::ldexp(0.5, static_cast<int>(shift[n])) : 0.0;
    const double sum = static_cast<double>(magnitudes[n]) * static_cast<double>(largest_input());
    if (sum + std::abs(static_cast<double>(bias[n])) + half >= 0x1p31) return false;
  }
  return true;
}

bool Filter::finishes_split() const {
  std::vector<std::int64_t> high(outputs, 0), low(outputs, 0);
  for (std::size_t tap = 0; tap < taps(); ++tap) {
    for (std::size_t n = 0; n < outputs; ++n) {
      high[n] += std::abs(high_part(weights[tap * outputs + n]));
      low[n] += std::abs(low_part(weights[tap * outputs + n]));
    }
  }
  const auto most = static_cast<double>(largest_input());
  for (std::size_t n = 0; n < outputs; ++n) {
    if (shift[n] < 8 || shift[n] > 39) return false;
    const double others = std::abs(static_cast<double>(bias[n])) + std::ldexp(0.5, static_cast<int>(shift[n])) + static_cast<double>(low[n]) * most;
    // each carry may round down by one
    const double carries = static_cast<double>(taps()) / kCarryGroups + 2;
    if (static_cast<double>(high[n]) * most + others / 256 + carries >= 0x1p31) return false;
  }
  return true;
}

void FinishTable::resize(std::size_t lanes) {
  offset.assign(lanes, 0);
  shift.assign(lanes, 0);
  mask.assign(lanes, -1);
}

void FinishTable::set(std::size_t lane, const Filter& filter, std::size_t output, std::int64_t correction) {
  const auto right = static_cast<std::int32_t>(filter.shift[output]);
  const std::int64_t half = right > 0 ? std::int64_t{1} << (right - 1) : 0;
  // sums wrap: only the value with the products added must fit
  offset[lane] = static_cast<std::int32_t>(static_cast<std::uint32_t>(filter.bias[output] + half + correction));
  shift[lane] = right;
  mask[lane] = filter.half_even && right > 0 ? static_cast<std::int32_t>((std::uint32_t{1} << right) - 1) : -1;
  low = filter.relu ? 0 : filter.narrow_outputs ? -128 : -32768;
}

void FinishTable::set_split(std::size_t low_lane, std::size_t high_lane, const Filter& filter, std::size_t output) {
  const auto right = static_cast<std::int32_t>(filter.shift[output]);
  const std::int64_t start = filter.bias[output] + (std::int64_t{1} << (right - 1));
  offset[low_lane] = static_cast<std::int32_t>(start & 0xff);
  offset[high_lane] = static_cast<std::int32_t>(start >> 8);
  shift[high_lane] = right - 8;
  mask[high_lane] = filter.half_even ? static_cast<std::int32_t>((std::uint32_t{1} << (right - 8)) - 1) : -1;
  low = filter.relu ? 0 : -32768;
}

void FinishTable::set_wrapped(std::size_t sum_lane, std::size_t estimate_lane, const Filter& filter, std::size_t output) {
  set_split(sum_lane, estimate_lane, filter, output);
  const std::int64_t start = filter.bias[output] + (std::int64_t{1} << (filter.shift[output] - 1));
  offset[sum_lane] = static_cast<std::int32_t>(static_cast<std::uint32_t>(start));
  offset[estimate_lane] = static_cast<std::int32_t>(start >> 16);
}

bool WideFinishTable::fits(const Filter& filter) {
  for (std::size_t n = 0; n < filter.outputs; ++n) {
    if (filter.shift[n] < 0 || filter.shift[n] > 60 || std::abs(static_cast<double>(filter.bias[n])) > 0x1p60) return false;
  }
  return filter.bound() < 0x1p60;
}

void WideFinishTable::resize(std::size_t lanes) {
  offset.assign(lanes, 0);
  shift.assign(lanes, 0);
  mask.assign(lanes, -1);
}

void WideFinishTable::set(std::size_t lane, const Filter& filter, std::size_t output) {
  const std::int64_t right = filter.shift[output];
  offset[lane] = filter.bias[output] + (right > 0 ? std::int64_t{1} << (right - 1) : 0);
  shift[lane] = right;
  mask[lane] = filter.half_even && right > 0 ? (std::int64_t{1} << right) - 1 : -1;
  low = filter.relu ? 0 : filter.narrow_outputs ? -128 : -32768;
}

}  // namespace espdl
