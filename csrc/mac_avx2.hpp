// 256-bit vectors. Dot says how groups are multiplied. Included behind a target pragma.

template <class Dot>
struct Narrow : Dot {
  using I = __m256i;
  static constexpr int lanes = 8;
  static constexpr int byte_zero = 128;
  static constexpr std::size_t vector_bytes = 32;
  static constexpr bool has_flip = false;
  static constexpr bool has_guard = false;

  template <class Kind>
  static void gather_runs(const typename Kind::In* const* rows, const std::size_t* steps, std::size_t height, std::size_t size,
                          std::size_t count, std::uint8_t* panel, std::size_t panel_stride) {
    gather_runs_any<Narrow, Kind>(rows, steps, height, size, count, panel, panel_stride);
  }

  static constexpr bool has_many_registers = false;

  static I zero() { return _mm256_setzero_si256(); }
  static I add(I a, I b) { return _mm256_add_epi32(a, b); }
  static I load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static void store(I value, void* p) { _mm256_storeu_si256(static_cast<__m256i*>(p), value); }
  static I unpack8(I a, I b, bool high) { return high ? _mm256_unpackhi_epi8(a, b) : _mm256_unpacklo_epi8(a, b); }
  static I unpack16(I a, I b, bool high) { return high ? _mm256_unpackhi_epi16(a, b) : _mm256_unpacklo_epi16(a, b); }
  static I hidden(I value) {
    __asm__("" : "+x"(value));
    return value;
  }
  static I broadcast(const void* p) {
    std::int32_t group;
    __builtin_memcpy(&group, p, 4);
    return _mm256_set1_epi32(group);
  }

  static I finish(I sum, const std::int32_t* shift, const std::int32_t* mask, std::int32_t low) {
    const I tie = _mm256_cmpeq_epi32(_mm256_and_si256(sum, load(mask)), _mm256_setzero_si256());
    const I value = _mm256_andnot_si256(_mm256_srli_epi32(tie, 31), _mm256_srav_epi32(sum, load(shift)));
    return _mm256_max_epi32(value, _mm256_set1_epi32(low));
  }

  // Moves all but the lowest byte of `low` to `high`.
  static void carry(I& low, I& high) {
    high = _mm256_add_epi32(high, _mm256_srai_epi32(low, 8));
    low = _mm256_and_si256(low, _mm256_set1_epi32(255));
  }
  static I finish_split(I byte, I sum, const std::int32_t* shift, const std::int32_t* mask, std::int32_t low) {
    carry(byte, sum);
    const I tie = _mm256_cmpeq_epi32(_mm256_or_si256(_mm256_and_si256(sum, load(mask)), byte), _mm256_setzero_si256());
    const I value = _mm256_andnot_si256(_mm256_srli_epi32(tie, 31), _mm256_srav_epi32(sum, load(shift)));
    return _mm256_max_epi32(value, _mm256_set1_epi32(low));
  }

  // What an estimate lacks of its sum is less than half of 2**32, so that it does not wrap.
  static I lack(I sum, I estimate) { return _mm256_sub_epi32(sum, _mm256_slli_epi32(estimate, 16)); }
  static void settle(I sum, I& estimate) { estimate = add(estimate, _mm256_srai_epi32(lack(sum, estimate), 16)); }
  // Makes the two into what finish_split takes.
  static void unwrap(I& sum, I& estimate) {
    sum = lack(sum, estimate);
    estimate = _mm256_slli_epi32(estimate, 8);
  }
  static void copy_with_high_bytes(const std::int16_t* source, std::int16_t* words, std::uint8_t* bytes, std::size_t size) {
    copy_with_high_bytes_any<Narrow>(source, words, bytes, size);
  }
  static void copy_block_with_high_bytes(const std::int16_t* source, std::int16_t* words, std::uint8_t* bytes) {
    const I some = load(source), high = _mm256_srai_epi16(some, 8);
    const I pairs = _mm256_permute4x64_epi64(_mm256_packs_epi16(high, high), 0x08);
    store(some, words);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes), _mm_xor_si128(_mm256_castsi256_si128(pairs), _mm_set1_epi8(-128)));
  }

  // Four sums of 64 bits, as 32. Shifting right arithmetically: negative values are shifted as their complement.
  static __m128i finish_quad(__m128i ones, __m128i many, const WideFinish& f, std::size_t at) {
    I sum = _mm256_add_epi64(_mm256_cvtepi32_epi64(ones), _mm256_slli_epi64(_mm256_cvtepi32_epi64(many), 8));
    sum = _mm256_add_epi64(sum, load(f.offset + at));
    const I tie = _mm256_cmpeq_epi64(_mm256_and_si256(sum, load(f.mask + at)), zero());
    const I sign = _mm256_cmpgt_epi64(zero(), sum);
    I value = _mm256_xor_si256(_mm256_srlv_epi64(_mm256_xor_si256(sum, sign), load(f.shift + at)), sign);
    value = _mm256_andnot_si256(_mm256_srli_epi64(tie, 63), value);
    const I low = _mm256_set1_epi64x(f.low), high = _mm256_set1_epi64x(32767);
    value = _mm256_blendv_epi8(value, low, _mm256_cmpgt_epi64(low, value));
    value = _mm256_blendv_epi8(value, high, _mm256_cmpgt_epi64(value, high));
    return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(value, _mm256_setr_epi32(0, 2, 4, 6, 0, 0, 0, 0)));
  }

  static I finish_wide(I ones, I many, const WideFinish& f, std::size_t at) {
    const __m128i low = finish_quad(_mm256_castsi256_si128(ones), _mm256_castsi256_si128(many), f, at);
    const __m128i high = finish_quad(_mm256_extracti128_si256(ones, 1), _mm256_extracti128_si256(many, 1), f, at + 4);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
  }

  static int int8_order(int nv, int vector, int lane) {
    return nv == 2 ? word_order(vector, lane) : lane;
  }

  template <std::size_t size>
  static void store_piece(const std::uint8_t*& source, std::uint8_t*& target, std::size_t bytes) {
    if ((bytes & size) == 0) return;
    __builtin_memcpy(target, source, size);
    source += size;
    target += size;
  }

  // Up to 31 bytes, without calling a function for them.
  template <typename Element>
  static void store_some(const void* values, Element* out, std::size_t count) {
    const auto* source = static_cast<const std::uint8_t*>(values);
    auto* target = reinterpret_cast<std::uint8_t*>(out);
    const std::size_t bytes = count * sizeof(Element);
    store_piece<16>(source, target, bytes);
    store_piece<8>(source, target, bytes);
    store_piece<4>(source, target, bytes);
    store_piece<2>(source, target, bytes);
    store_piece<1>(source, target, bytes);
  }

  template <int nv>
  static void store_int8(const I (&values)[nv], std::int8_t* out, std::size_t channels) {
    const I words = _mm256_packs_epi32(values[0], values[nv - 1]);
    const I halves = _mm256_packs_epi16(words, words);
    if constexpr (nv == 2) {
      const __m128i block = _mm256_castsi256_si128(_mm256_permute4x64_epi64(halves, 0x08));
      if (channels >= 16) return _mm_storeu_si128(reinterpret_cast<__m128i*>(out), block);
      alignas(16) std::int8_t bytes[16];
      _mm_store_si128(reinterpret_cast<__m128i*>(bytes), block);
      store_some(bytes, out, channels);
    } else {
      const __m128i block = _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
      if (channels >= 8) return _mm_storel_epi64(reinterpret_cast<__m128i*>(out), block);
      alignas(16) std::int8_t bytes[16];
      _mm_store_si128(reinterpret_cast<__m128i*>(bytes), block);
      store_some(bytes, out, channels);
    }
  }

  static void store_block(I a, I b, I c, I d, std::int8_t* out, std::size_t channels) {
    const I block = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    if (channels >= 32) return store(block, out);
    alignas(32) std::int8_t some[32];
    store(block, some);
    store_some(some, out, channels);
  }

  static void store_word_pair(I a, I b, std::int16_t* out, std::size_t channels) {
    const I words = _mm256_packs_epi32(a, b);
    if (channels >= 16) return store(words, out);
    alignas(32) std::int16_t some[16];
    store(words, some);
    store_some(some, out, channels);
  }

  static void store_int16(I value, std::int16_t* out, std::size_t first, std::size_t channels) {
    if (channels <= first) return;
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
    if (channels >= first + 8) return _mm_storeu_si128(reinterpret_cast<__m128i*>(out + first), words);
    alignas(16) std::int16_t some[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(some), words);
    store_some(some, out + first, channels - first);
  }

  static void store_sums(I value, std::int32_t* out, std::size_t first, std::size_t channels) {
    if (channels <= first) return;
    if (channels >= first + 8) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + first), value);
    alignas(32) std::int32_t some[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(some), value);
    store_some(some, out + first, channels - first);
  }
};

#include "depthwise_body.hpp"

template <class V, bool bytes, Store store>
constexpr Tiles narrow_tiles() {
  Tiles tiles;
  add_tiles<V, bytes, store, 1, 1, 2, 4, 6, 8>(tiles);
  add_tiles<V, bytes, store, 2, 1, 2, 3, 4, 5, 6>(tiles);
  return tiles;
}

template <class V>
constexpr Tiles narrow_split_tiles() {
  Tiles tiles;
  add_tiles<V, false, Store::split, 2, 1, 2, 3, 4, 5, 6>(tiles);
  return tiles;
}

template <class V>
constexpr MacIsa narrow_functions(Isa isa) {
  MacIsa table = common_functions<V>(isa);
  table.vectors = 2;
  add_depthwise_words<V>(table);
  table.rows[1] = 8;
  table.rows[2] = 6;
  table.word_tiles[static_cast<int>(Store::int16)] = narrow_tiles<V, false, Store::int16>();
  table.word_tiles[static_cast<int>(Store::sums)] = narrow_tiles<V, false, Store::sums>();
  table.word_tiles[static_cast<int>(Store::split)] = narrow_split_tiles<V>();
  return table;
}
