// Functions of one 8- or 16-bit value as tables (runtime spec 3.5).
#pragma once

#include <cstddef>
#include <cstdint>

#include "requantize.hpp"

namespace espdl {

// table: 256 entries, entry i for the value i - 128.
template <typename Out>
void lookup8(const Out* table, const std::int8_t* x, Out* out, std::size_t size) {
  const Out* middle = table + 128;
  for (std::size_t i = 0; i < size; ++i) out[i] = middle[x[i]];
}

// table: 65536 / 2**step_bits + 1 entries (65536 suffice for step_bits 0), entry i for the value i * 2**step_bits - 32768; the nearest one is taken.
template <typename Out>
void lookup16(const Out* table, const std::int16_t* x, Out* out, std::size_t size, int step_bits, bool half_even) {
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = table[shift_and_round(std::int64_t{x[i]} + 32768, step_bits, half_even)];
  }
}

}  // namespace espdl
