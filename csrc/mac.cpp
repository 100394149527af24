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
