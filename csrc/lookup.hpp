// Functions of one 8- or 16-bit value as tables (runtime spec 3.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "isa.hpp"
#include "requantize.hpp"

#if ESPDL_X86
#include <immintrin.h>
#define ESPDL_VBMI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,prefer-vector-width=512")))
#elif ESPDL_ARM64
#include <arm_neon.h>
#endif

namespace espdl {

// table: 256 entries, entry i for the value i - 128. x and out may be the same.
template <typename Out>
void lookup8_baseline(const Out* table, const std::int8_t* x, Out* out, std::size_t size) {
  const Out* middle = table + 128;
  for (std::size_t i = 0; i < size; ++i) out[i] = middle[x[i]];
}

#if ESPDL_X86

// A permutation of two registers looks 7 bits up: one for the negative half of the table, one for the other.
ESPDL_VBMI inline void lookup8_vbmi(const std::int8_t* table, const std::int8_t* x, std::int8_t* out, std::size_t size) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  for (std::size_t i = 0; i < size; i += 64) {
    const __mmask64 inside = size - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (size - i)) - 1;
    const __m512i values = _mm512_maskz_loadu_epi8(inside, x + i);
    const __m512i negative = _mm512_permutex2var_epi8(t0, values, t1), others = _mm512_permutex2var_epi8(t2, values, t3);
    _mm512_mask_storeu_epi8(out + i, inside, _mm512_mask_mov_epi8(others, _mm512_movepi8_mask(values), negative));
  }
}

// Sixteen tables of sixteen entries: of each index only the table of its upper half answers, the others give 0.
ESPDL_AVX2 inline void lookup8_avx2(const std::int8_t* table, const std::int8_t* x, std::int8_t* out, std::size_t size) {
  __m256i parts[16];
  for (int part = 0; part < 16; ++part) {
    parts[part] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * part)));
  }
  const __m256i middle = _mm256_set1_epi8(-128), beyond = _mm256_set1_epi8(0x70);
  std::size_t i = 0;
  for (; i + 32 <= size; i += 32) {
    const __m256i index = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)), middle);
    __m256i result = _mm256_setzero_si256();
    for (int part = 0; part < 16; ++part) {
      const __m256i offset = _mm256_xor_si256(index, _mm256_set1_epi8(static_cast<char>(part << 4)));
      result = _mm256_or_si256(result, _mm256_shuffle_epi8(parts[part], _mm256_adds_epu8(offset, beyond)));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), result);
  }
  lookup8_baseline(table, x + i, out + i, size - i);
}

inline bool has_vbmi() {
  static const bool found = __builtin_cpu_supports("avx512vbmi");
  return found;
}

#elif ESPDL_ARM64

// Four tables of 64 entries: an index that a table does not know leaves what the others found.
inline void lookup8_neon(const std::int8_t* table, const std::int8_t* x, std::int8_t* out, std::size_t size) {
  const int8x16x4_t t0 = vld1q_s8_x4(table), t1 = vld1q_s8_x4(table + 64), t2 = vld1q_s8_x4(table + 128), t3 = vld1q_s8_x4(table + 192);
  const uint8x16_t middle = vdupq_n_u8(128), next = vdupq_n_u8(64);
  std::size_t i = 0;
  for (; i + 16 <= size; i += 16) {
    uint8x16_t index = veorq_u8(vreinterpretq_u8_s8(vld1q_s8(x + i)), middle);
    int8x16_t result = vqtbl4q_s8(t0, index);
    result = vqtbx4q_s8(result, t1, index = vsubq_u8(index, next));
    result = vqtbx4q_s8(result, t2, index = vsubq_u8(index, next));
    result = vqtbx4q_s8(result, t3, vsubq_u8(index, next));
    vst1q_s8(out + i, result);
  }
  lookup8_baseline(table, x + i, out + i, size - i);
}

#endif

template <typename Out>
void lookup8(const Out* table, const std::int8_t* x, Out* out, std::size_t size) {
#if ESPDL_X86
  if constexpr (std::is_same_v<Out, std::int8_t>) {
    if (isa >= Isa::avx512 && has_vbmi()) return lookup8_vbmi(table, x, out, size);
    if (isa >= Isa::avx2) return lookup8_avx2(table, x, out, size);
  }
#elif ESPDL_ARM64
  if constexpr (std::is_same_v<Out, std::int8_t>) {
    if (isa >= Isa::neon) return lookup8_neon(table, x, out, size);
  }
#endif
  lookup8_baseline(table, x, out, size);
}

// table: 65536 / 2**step_bits + 1 entries (65536 suffice for step_bits 0), entry i for the value i * 2**step_bits - 32768; the nearest
// one is taken. x and out may be the same.
template <typename Out>
void lookup16(const Out* table, const std::int16_t* x, Out* out, std::size_t size, int step_bits, bool half_even) {
  if (step_bits == 0) {
    const Out* middle = table + 32768;
    for (std::size_t i = 0; i < size; ++i) out[i] = middle[x[i]];
    return;
  }
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = table[shift_and_round(std::int64_t{x[i]} + 32768, step_bits, half_even)];
  }
}

}  // namespace espdl
