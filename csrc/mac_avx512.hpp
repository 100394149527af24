// 512-bit vectors, for the instruction sets that have them. Included behind a target pragma.

template <bool vnni>
struct Wide {
  using I = __m512i;
  static constexpr int lanes = 16;
  static constexpr int byte_zero = 128;
  static constexpr std::size_t vector_bytes = 64;
  static constexpr bool has_flip = true;
  static constexpr bool has_guard = vnni;

  static constexpr bool has_many_registers = true;

  static I zero() { return _mm512_setzero_si512(); }
  static I add(I a, I b) { return _mm512_add_epi32(a, b); }
  static I load(const void* p) { return _mm512_loadu_si512(p); }
  static void store(I value, void* p) { _mm512_storeu_si512(p, value); }
  static I unpack8(I a, I b, bool high) { return high ? _mm512_unpackhi_epi8(a, b) : _mm512_unpacklo_epi8(a, b); }
  static I unpack16(I a, I b, bool high) { return high ? _mm512_unpackhi_epi16(a, b) : _mm512_unpacklo_epi16(a, b); }
  static I hidden(I value) {
    __asm__("" : "+v"(value));
    return value;
  }
  static I broadcast(const void* p) {
    std::int32_t group;
    __builtin_memcpy(&group, p, 4);
    return _mm512_set1_epi32(group);
  }
  static I dot_bytes(I sum, I x, I w) {
    if constexpr (vnni) {
      return _mm512_dpbusd_epi32(sum, x, w);
    } else {
      return sum;
    }
  }
  static I dot_words(I sum, I x, I w) {
    if constexpr (vnni) {
      return _mm512_dpwssd_epi32(sum, x, w);
    } else {
      return _mm512_add_epi32(sum, _mm512_madd_epi16(x, w));
    }
  }

  static I finish(I sum, const std::int32_t* shift, const std::int32_t* mask, std::int32_t low) {
    const __mmask16 tie = _mm512_testn_epi32_mask(sum, load(mask));
    I value = _mm512_srav_epi32(sum, load(shift));
    value = _mm512_mask_and_epi32(value, tie, value, _mm512_set1_epi32(-2));
    return _mm512_max_epi32(value, _mm512_set1_epi32(low));
  }

  // Moves all but the lowest byte of `low` to `high`.
  static void carry(I& low, I& high) {
    high = _mm512_add_epi32(high, _mm512_srai_epi32(low, 8));
    low = _mm512_and_si512(low, _mm512_set1_epi32(255));
  }
  static I finish_split(I byte, I sum, const std::int32_t* shift, const std::int32_t* mask, std::int32_t low) {
    carry(byte, sum);
    // (sum & mask) | byte
    const I rest = _mm512_ternarylogic_epi32(sum, load(mask), byte, 0xea);
    I value = _mm512_srav_epi32(sum, load(shift));
    value = _mm512_mask_and_epi32(value, _mm512_testn_epi32_mask(rest, rest), value, _mm512_set1_epi32(-2));
    return _mm512_max_epi32(value, _mm512_set1_epi32(low));
  }

  // What an estimate lacks of its sum is less than half of 2**32, so that it does not wrap.
  static I lack(I sum, I estimate) { return _mm512_sub_epi32(sum, _mm512_slli_epi32(estimate, 16)); }
  static void settle(I sum, I& estimate) { estimate = add(estimate, _mm512_srai_epi32(lack(sum, estimate), 16)); }
  // Makes the two into what finish_split takes.
  static void unwrap(I& sum, I& estimate) {
    sum = lack(sum, estimate);
    estimate = _mm512_slli_epi32(estimate, 8);
  }
  static void copy_with_high_bytes(const std::int16_t* source, std::int16_t* words, std::uint8_t* bytes, std::size_t size) {
    for (std::size_t i = 0; i < size; i += 32) {
      const __mmask32 kept = size - i >= 32 ? ~__mmask32{0} : (__mmask32{1} << (size - i)) - 1;
      const I some = _mm512_maskz_loadu_epi16(kept, source + i);
      _mm512_mask_storeu_epi16(words + i, kept, some);
      const __m256i high = _mm512_cvtepi16_epi8(_mm512_srli_epi16(some, 8));
      _mm256_mask_storeu_epi8(bytes + i, kept, _mm256_xor_si256(high, _mm256_set1_epi8(-128)));
    }
  }

  static I finish_wide(__m512i ones, __m512i many, const WideFinish& f, std::size_t at) {
    __m256i done[2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256i low = half == 0 ? _mm512_castsi512_si256(ones) : _mm512_extracti64x4_epi64(ones, 1);
      const __m256i high = half == 0 ? _mm512_castsi512_si256(many) : _mm512_extracti64x4_epi64(many, 1);
      const std::size_t entry = at + 8 * half;
      __m512i sum = _mm512_add_epi64(_mm512_cvtepi32_epi64(low), _mm512_slli_epi64(_mm512_cvtepi32_epi64(high), 8));
      sum = _mm512_add_epi64(sum, _mm512_loadu_si512(f.offset + entry));
      const __mmask8 tie = _mm512_testn_epi64_mask(sum, _mm512_loadu_si512(f.mask + entry));
      __m512i value = _mm512_srav_epi64(sum, _mm512_loadu_si512(f.shift + entry));
      value = _mm512_mask_and_epi64(value, tie, value, _mm512_set1_epi64(-2));
      done[half] = _mm512_cvtsepi64_epi32(_mm512_max_epi64(value, _mm512_set1_epi64(f.low)));
    }
    return _mm512_inserti64x4(_mm512_castsi256_si512(done[0]), done[1], 1);
  }

  static int int8_order(int nv, int vector, int lane) {
    if (nv == 4) return byte_order(vector, lane);
    if (nv == 1 || vector == 2) return 16 * vector + lane;
    return word_order(vector, lane);
  }

  template <int nv>
  static void store_int8(const I (&values)[nv], std::int8_t* out, std::size_t channels) {
    if constexpr (nv == 4) {
      store_block(values[0], values[1], values[2], values[3], out, channels);
    } else {
      if constexpr (nv >= 2) {
        const __m256i pair = _mm512_cvtsepi16_epi8(_mm512_packs_epi32(values[0], values[1]));
        if (channels >= 32) {
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), pair);
        } else {
          _mm256_mask_storeu_epi8(out, (__mmask32{1} << channels) - 1, pair);
        }
      }
      if constexpr (nv != 2) {
        constexpr std::size_t first = nv == 3 ? 32 : 0;
        const __m128i single = _mm512_cvtsepi32_epi8(values[nv - 1]);
        if (channels >= first + 16) {
          _mm_storeu_si128(reinterpret_cast<__m128i*>(out + first), single);
        } else if (channels > first) {
          _mm_mask_storeu_epi8(out + first, static_cast<__mmask16>((1u << (channels - first)) - 1), single);
        }
      }
    }
  }

  static void store_block(I a, I b, I c, I d, std::int8_t* out, std::size_t channels) {
    const I block = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    if (channels >= 64) {
      _mm512_storeu_si512(out, block);
    } else {
      _mm512_mask_storeu_epi8(out, (__mmask64{1} << channels) - 1, block);
    }
  }

  static __mmask16 lanes_below(std::size_t first, std::size_t channels) {
    if (channels >= first + 16) return 0xffff;
    return channels <= first ? 0 : static_cast<__mmask16>((1u << (channels - first)) - 1);
  }
  static void store_sums(I value, std::int32_t* out, std::size_t first, std::size_t channels) {
    _mm512_mask_storeu_epi32(out + first, lanes_below(first, channels), value);
  }
  static void store_int16(I value, std::int16_t* out, std::size_t first, std::size_t channels) {
    _mm256_mask_storeu_epi16(out + first, lanes_below(first, channels), _mm512_cvtsepi32_epi16(value));
  }

  static void store_word_pair(I a, I b, std::int16_t* out, std::size_t channels) {
    const __mmask32 kept = channels >= 32 ? ~__mmask32{0} : (__mmask32{1} << channels) - 1;
    _mm512_mask_storeu_epi16(out, kept, _mm512_packs_epi32(a, b));
  }

  // The first `size` bytes, at most those of the vector, with what lies behind them as zeros.
  template <int bits>
  static void copy_run(const std::int8_t* source, std::uint8_t* target, std::uint64_t mask) {
    if constexpr (bits == 128) {
      const __m128i run = _mm_maskz_loadu_epi8(static_cast<__mmask16>(mask), source);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm_xor_si128(run, _mm_set1_epi8(-128)));
    } else if constexpr (bits == 256) {
      const __m256i run = _mm256_maskz_loadu_epi8(static_cast<__mmask32>(mask), source);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), _mm256_xor_si256(run, _mm256_set1_epi8(-128)));
    } else {
      _mm512_storeu_si512(target, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, source), _mm512_set1_epi8(-128)));
    }
  }

  // `bits` hold the end of a run, whole vectors what is in front of it.
  template <int bits>
  static void copy_runs(const std::int8_t* const* rows, const std::size_t* steps, std::size_t height, std::size_t size, std::size_t count,
                        std::uint8_t* panel, std::size_t panel_stride) {
    const std::size_t whole = (size - 1) / 64 * 64, rest = size - whole;
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - rest);
    for (std::size_t i = 0; i < count; ++i, panel += panel_stride) {
      std::uint8_t* target = panel;
      for (std::size_t ky = 0; ky < height; ++ky, target += size) {
        const std::int8_t* source = rows[ky] + i * steps[ky];
        for (std::size_t at = 0; at < whole; at += 64) copy_run<512>(source + at, target + at, ~std::uint64_t{0});
        copy_run<bits>(source + whole, target + whole, mask);
      }
    }
  }

  template <class Kind>
  static void gather_runs(const typename Kind::In* const* rows, const std::size_t* steps, std::size_t height, std::size_t size,
                          std::size_t count, std::uint8_t* panel, std::size_t panel_stride) {
    if constexpr (Kind::edge == 128) {
      const std::size_t rest = (size - 1) % 64 + 1;
      (rest <= 16 ? copy_runs<128> : rest <= 32 ? copy_runs<256> : copy_runs<512>)(rows, steps, height, size, count, panel, panel_stride);
    } else {
      gather_runs_any<Wide, Kind>(rows, steps, height, size, count, panel, panel_stride);
    }
  }

  // Of bytes plus 128 against groups of four weights; what is behind the last input counts nothing, for there the weights are 0.
  template <int rows>
  static void stretch_sums_of(const std::uint8_t* const* inputs, const std::int8_t* weights, const std::int32_t* correction, std::size_t first,
                              std::size_t last, std::int32_t (*sums)[16]) {
    I of[rows];
#pragma GCC unroll 12
    // hidden: compilers that see equal starts copy the sums round
    for (int row = 0; row < rows; ++row) of[row] = hidden(_mm512_sub_epi32(_mm512_setzero_si512(), load(correction)));
    const std::int8_t* w = weights + 16 * first;
    for (std::size_t tap = first; tap < last; tap += 4, w += 64) {
      const I group = load(w);
#pragma GCC unroll 12
      for (int row = 0; row < rows; ++row) of[row] = dot_bytes(of[row], broadcast(inputs[row] + tap), group);
    }
#pragma GCC unroll 12
    for (int row = 0; row < rows; ++row) _mm512_store_si512(sums[row], of[row]);
  }
  static void stretch_sums(const std::uint8_t* const* inputs, std::size_t count, const std::int8_t* weights, const std::int32_t* correction,
                           std::size_t first, std::size_t last, std::int32_t (&sums)[kGuardRows][16]) {
    (count <= 4 ? stretch_sums_of<4> : stretch_sums_of<kGuardRows>)(inputs, weights, correction, first, last, sums);
  }

  // Sum of the squares of bytes without their 128.
  static std::int32_t squares(const std::uint8_t* inputs, std::size_t size) {
    I sum = _mm512_setzero_si512();
    for (std::size_t i = 0; i < size; i += 32) {
      const __mmask32 kept = size - i >= 32 ? ~__mmask32{0} : (__mmask32{1} << (size - i)) - 1;
      const I words = _mm512_maskz_sub_epi16(kept, _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(kept, inputs + i)), _mm512_set1_epi16(128));
      sum = dot_words(sum, words, words);
    }
    return _mm512_reduce_add_epi32(sum);
  }

  // Four products at a time are cut out of the groups; each is added as a pair of words, the other of which is 0.
  static void add_in_order(const std::uint8_t* inputs, const std::int8_t* weights, std::size_t first, std::size_t last,
                           const std::int32_t* low, const std::int32_t* high, std::int32_t* value) {
    const I lowest = load(low), highest = load(high);
    I sum = load(value);
    for (std::size_t tap = first; tap < last; tap += 4) {
      const I w = load(weights + 16 * tap);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const I x = _mm512_set1_epi32((std::int32_t{inputs[tap + i]} - 128) & 0xffff);
        const I weight = _mm512_srai_epi32(_mm512_slli_epi32(w, 24 - 8 * i), 24);
        sum = _mm512_min_epi32(_mm512_max_epi32(dot_words(sum, weight, x), lowest), highest);
      }
    }
    _mm512_storeu_si512(value, sum);
  }

  static bool may_leave(I before, I sums, __m512 norms, float norm, __m512 twice_low, __m512 twice_high) {
    const __m512 there = _mm512_cvtepi32_ps(before);
    const __m512 sum = _mm512_add_ps(_mm512_add_ps(there, there), _mm512_cvtepi32_ps(sums));
    const __m512 magnitude = _mm512_mul_ps(_mm512_set1_ps(norm), norms);
    const __mmask16 above = _mm512_cmp_ps_mask(_mm512_add_ps(sum, magnitude), twice_high, _CMP_GT_OQ);
    const __mmask16 below = _mm512_cmp_ps_mask(_mm512_sub_ps(sum, magnitude), twice_low, _CMP_LT_OQ);
    return (above | below) != 0;
  }
  static bool may_leave(const std::int32_t* before, const std::int32_t* sums, const float* norms, float norm, const float* twice_low,
                        const float* twice_high) {
    return may_leave(load(before), load(sums), _mm512_loadu_ps(norms), norm, _mm512_loadu_ps(twice_low), _mm512_loadu_ps(twice_high));
  }
  static unsigned add_where_safe(std::int32_t (*values)[16], const std::int32_t (*sums)[16], std::size_t count, const float* norms,
                                 const float* row_norms, const float* twice_low, const float* twice_high) {
    const __m512 of = _mm512_loadu_ps(norms), low = _mm512_loadu_ps(twice_low), high = _mm512_loadu_ps(twice_high);
    unsigned unsafe = 0;
    for (std::size_t row = 0; row < count; ++row) {
      const I before = load(values[row]), sum = load(sums[row]);
      if (may_leave(before, sum, of, row_norms[row], low, high)) {
        unsafe |= 1u << row;
      } else {
        _mm512_store_si512(values[row], _mm512_add_epi32(before, sum));
      }
    }
    return unsafe;
  }

  static void flip(const std::int8_t* source, std::uint8_t* target, std::size_t size) {
    const I high = _mm512_set1_epi8(-128);
    std::size_t i = 0;
    for (; i + 64 <= size; i += 64) _mm512_storeu_si512(target + i, _mm512_xor_si512(load(source + i), high));
    if (i < size) {
      const __mmask64 rest = (__mmask64{1} << (size - i)) - 1;
      _mm512_storeu_si512(target + i, _mm512_xor_si512(_mm512_maskz_loadu_epi8(rest, source + i), high));
    }
  }
};

#include "depthwise_body.hpp"

template <class V, bool bytes, Store store>
constexpr Tiles wide_tiles() {
  Tiles tiles;
  add_tiles<V, bytes, store, 1, 1, 2, 4, 6, 8, 10, 12>(tiles);
  add_tiles<V, bytes, store, 2, 1, 2, 4, 6, 8, 10, 12>(tiles);
  add_tiles<V, bytes, store, 3, 1, 2, 4, 5, 6, 7, 8>(tiles);
  add_tiles<V, bytes, store, 4, 1, 2, 3, 4, 5, 6>(tiles);
  return tiles;
}

template <class V>
constexpr Tiles wide_split_tiles() {
  Tiles tiles;
  add_tiles<V, false, Store::split, 2, 1, 2, 4, 6, 8, 10, 12>(tiles);
  add_tiles<V, false, Store::split, 4, 1, 2, 3, 4, 5, 6>(tiles);
  return tiles;
}

template <class V>
constexpr MacIsa wide_functions(Isa isa) {
  MacIsa table = common_functions<V>(isa);
  table.vectors = 4;
  add_depthwise_words<V>(table);
  table.rows[1] = table.rows[2] = 12;
  table.rows[3] = 8;
  table.rows[4] = 6;
  table.word_tiles[static_cast<int>(Store::int16)] = wide_tiles<V, false, Store::int16>();
  table.word_tiles[static_cast<int>(Store::sums)] = wide_tiles<V, false, Store::sums>();
  table.word_tiles[static_cast<int>(Store::split)] = wide_split_tiles<V>();
  return table;
}
