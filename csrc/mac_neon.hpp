// 128-bit vectors of arm64. Inputs are signed, so nothing is added to bytes. Included behind a target pragma.

// What does not depend on how groups are multiplied.
struct NeonVector {
  using I = int32x4_t;
  static constexpr int lanes = 4;
  static constexpr int byte_zero = 0;
  static constexpr std::size_t vector_bytes = 16;
  static constexpr bool has_flip = false;
  static constexpr bool has_guard = false;
  static constexpr bool has_many_registers = true;

  static I zero() { return vdupq_n_s32(0); }
  static I add(I a, I b) { return vaddq_s32(a, b); }
  static void store(I value, void* p) { vst1q_u8(static_cast<std::uint8_t*>(p), vreinterpretq_u8_s32(value)); }
  static I unpack8(I a, I b, bool high) {
    const uint8x16_t first = vreinterpretq_u8_s32(a), second = vreinterpretq_u8_s32(b);
    return vreinterpretq_s32_u8(high ? vzip2q_u8(first, second) : vzip1q_u8(first, second));
  }

  static I load(const void* p) { return vreinterpretq_s32_u8(vld1q_u8(static_cast<const std::uint8_t*>(p))); }
  static I hidden(I value) {
    __asm__("" : "+w"(value));
    return value;
  }
  // In the first lane, zeros in the others. No intrinsic gives this one instruction, which leaves the arithmetic units alone.
  static I load_group(const void* p) {
    I value;
    __asm__("ldr %s0, %1" : "=w"(value) : "m"(*static_cast<const unsigned char(*)[4]>(p)));
    return value;
  }

  static I finish(I sum, const std::int32_t* shift, const std::int32_t* mask, std::int32_t low) {
    const I no_tie = vreinterpretq_s32_u32(vtstq_s32(sum, vld1q_s32(mask)));
    const I value = vshlq_s32(sum, vnegq_s32(vld1q_s32(shift)));
    return vmaxq_s32(vandq_s32(value, vorrq_s32(no_tie, vdupq_n_s32(-2))), vdupq_n_s32(low));
  }

  // Moves all but the lowest byte of `low` to `high`.
  static void carry(I& low, I& high) {
    high = vsraq_n_s32(high, low, 8);
    low = vandq_s32(low, vdupq_n_s32(255));
  }
  static I finish_split(I byte, I sum, const std::int32_t* shift, const std::int32_t* mask, std::int32_t low) {
    carry(byte, sum);
    const I rest = vorrq_s32(vandq_s32(sum, vld1q_s32(mask)), byte);
    const I no_tie = vreinterpretq_s32_u32(vtstq_s32(rest, rest));
    const I value = vshlq_s32(sum, vnegq_s32(vld1q_s32(shift)));
    return vmaxq_s32(vandq_s32(value, vorrq_s32(no_tie, vdupq_n_s32(-2))), vdupq_n_s32(low));
  }

  // What an estimate lacks of its sum is less than half of 2**32, so that it does not wrap.
  static I lack(I sum, I estimate) { return vsubq_s32(sum, vshlq_n_s32(estimate, 16)); }
  static void settle(I sum, I& estimate) { estimate = vsraq_n_s32(estimate, lack(sum, estimate), 16); }
  // Makes the two into what finish_split takes.
  static void unwrap(I& sum, I& estimate) {
    sum = lack(sum, estimate);
    estimate = vshlq_n_s32(estimate, 8);
  }
  static void copy_with_high_bytes(const std::int16_t* source, std::int16_t* words, std::uint8_t* bytes, std::size_t size) {
    copy_with_high_bytes_any<NeonVector>(source, words, bytes, size);
  }
  static void copy_block_with_high_bytes(const std::int16_t* source, std::int16_t* words, std::uint8_t* bytes) {
    const int16x8_t first = vld1q_s16(source), second = vld1q_s16(source + 8);
    vst1q_s16(words, first);
    vst1q_s16(words + 8, second);
    vst1q_u8(bytes, vreinterpretq_u8_s8(vcombine_s8(vshrn_n_s16(first, 8), vshrn_n_s16(second, 8))));
  }

  // Panels keep the order of the channels.
  static int int8_order(int, int vector, int lane) { return lanes * vector + lane; }

  template <typename Element>
  static void store_some(const void* values, Element* out, std::size_t count) {
    __builtin_memcpy(out, values, count * sizeof(Element));
  }

  static int8x16_t narrow(I a, I b, I c, I d) {
    const int16x8_t low = vqmovn_high_s32(vqmovn_s32(a), b), high = vqmovn_high_s32(vqmovn_s32(c), d);
    return vqmovn_high_s16(vqmovn_s16(low), high);
  }

  template <int nv>
  static void store_int8(const I (&values)[nv], std::int8_t* out, std::size_t channels) {
    const int8x16_t block = narrow(values[0], values[nv > 1 ? 1 : 0], values[nv > 2 ? 2 : 0], values[nv > 3 ? 3 : 0]);
    if (channels < 4 * nv) {
      std::int8_t some[16];
      vst1q_s8(some, block);
      store_some(some, out, channels);
    } else if constexpr (nv == 4) {
      vst1q_s8(out, block);
    } else {
      if constexpr (nv >= 2) vst1_s8(out, vget_low_s8(block));
      if constexpr (nv != 2) {
        const std::int32_t last = vgetq_lane_s32(vreinterpretq_s32_s8(block), nv - 1);
        store_some(&last, out + 4 * (nv - 1), 4);
      }
    }
  }

  static void store_block(I a, I b, I c, I d, std::int8_t* out, std::size_t channels) {
    const I values[4] = {a, b, c, d};
    store_int8<4>(values, out, channels);
  }

  static void store_word_pair(I a, I b, std::int16_t* out, std::size_t channels) {
    store_int16(a, out, 0, channels);
    store_int16(b, out, 4, channels);
  }

  static void store_int16(I value, std::int16_t* out, std::size_t first, std::size_t channels) {
    if (channels <= first) return;
    const int16x4_t words = vqmovn_s32(value);
    if (channels >= first + 4) return vst1_s16(out + first, words);
    std::int16_t some[4];
    vst1_s16(some, words);
    store_some(some, out + first, channels - first);
  }

  static void store_sums(I value, std::int32_t* out, std::size_t first, std::size_t channels) {
    if (channels <= first) return;
    if (channels >= first + 4) return vst1q_s32(out + first, value);
    std::int32_t some[4];
    vst1q_s32(some, value);
    store_some(some, out + first, channels - first);
  }

  static int32x2_t finish_two(int64x2_t sum, const std::int64_t* shift, const std::int64_t* mask) {
    const int64x2_t no_tie = vreinterpretq_s64_u64(vtstq_s64(sum, vld1q_s64(mask)));
    const int64x2_t value = vshlq_s64(sum, vnegq_s64(vld1q_s64(shift)));
    return vqmovn_s64(vandq_s64(value, vorrq_s64(no_tie, vdupq_n_s64(-2))));
  }
  // Four sums of two planes, the second of which counts 256.
  static I finish_wide(I ones, I many, const WideFinish& f, std::size_t at) {
    const int64x2_t low = vaddq_s64(vmovl_s32(vget_low_s32(ones)), vshll_n_s32(vget_low_s32(many), 8));
    const int64x2_t high = vaddq_s64(vmovl_high_s32(ones), vshll_high_n_s32(many, 8));
    const int32x2_t first = finish_two(vaddq_s64(low, vld1q_s64(f.offset + at)), f.shift + at, f.mask + at);
    const int32x2_t second = finish_two(vaddq_s64(high, vld1q_s64(f.offset + at + 2)), f.shift + at + 2, f.mask + at + 2);
    return vmaxq_s32(vcombine_s32(first, second), vdupq_n_s32(static_cast<std::int32_t>(f.low)));
  }

  template <class Kind>
  static void gather_runs(const typename Kind::In* const* rows, const std::size_t* steps, std::size_t height, std::size_t size,
                          std::size_t count, std::uint8_t* panel, std::size_t panel_stride) {
    gather_runs_any<NeonVector, Kind>(rows, steps, height, size, count, panel, panel_stride);
  }
};

// Weights that lie apart are multiplied with one word of the group, then with the other.
struct NeonWords : NeonVector {
  static constexpr bool apart = true;

  static I broadcast(const void* p) { return load_group(p); }
  static I dot_words(I sum, I group, I weights) {
    const int16x8_t x = vreinterpretq_s16_s32(group), w = vreinterpretq_s16_s32(weights);
    return vmlal_high_laneq_s16(vmlal_laneq_s16(sum, vget_low_s16(w), x, 0), w, x, 1);
  }
  // Each lane with its own two words, which lie apart too.
  static I multiply(I sum, I inputs, I weights) {
    const int16x8_t x = vreinterpretq_s16_s32(inputs), w = vreinterpretq_s16_s32(weights);
    return vmlal_high_s16(vmlal_s16(sum, vget_low_s16(x), vget_low_s16(w)), x, w);
  }
};

// Depthwise operators multiply each lane with its own group.
template <class Bytes>
struct NeonRows : Bytes {
  using I = int32x4_t;
  static I dot_bytes(I sum, I inputs, I weights) { return Bytes::multiply(sum, inputs, weights); }
  static I unpack16(I a, I b, bool high) { return Bytes::weave(vreinterpretq_u8_s32(a), vreinterpretq_u8_s32(b), high); }
};
struct NeonPairs : NeonWords {
  static I dot_words(I sum, I inputs, I weights) { return multiply(sum, inputs, weights); }
  static I unpack16(I a, I b, bool high) {
    const int64x2_t first = vreinterpretq_s64_s32(a), second = vreinterpretq_s64_s32(b);
    return vreinterpretq_s32_s64(high ? vzip2q_s64(first, second) : vzip1q_s64(first, second));
  }
};

#include "depthwise_body.hpp"

// tall: as many sums as there are registers for; products that need registers of their own leave room for fewer.
template <class V, bool bytes, Store store, bool tall>
constexpr Tiles neon_tiles() {
  Tiles tiles;
  add_tiles<V, bytes, store, 1, 1, 2, 4, 8>(tiles);
  add_tiles<V, bytes, store, 2, 1, 2, 4, 6>(tiles);
  add_tiles<V, bytes, store, 3, 1, 2, 4>(tiles);
  add_tiles<V, bytes, store, 4, 1, 2, 3>(tiles);
  if constexpr (tall) {
    add_tiles<V, bytes, store, 2, 8, 12>(tiles);
    add_tiles<V, bytes, store, 3, 6, 8>(tiles);
    add_tiles<V, bytes, store, 4, 4, 5, 6>(tiles);
  }
  return tiles;
}

template <bool tall>
constexpr Tiles neon_split_tiles() {
  Tiles tiles;
  add_tiles<NeonWords, false, Store::split, 2, 1, 2, 4, 6>(tiles);
  add_tiles<NeonWords, false, Store::split, 4, 1, 2, 3>(tiles);
  if constexpr (tall) {
    add_tiles<NeonWords, false, Store::split, 2, 8, 12>(tiles);
    add_tiles<NeonWords, false, Store::split, 4, 4, 5, 6>(tiles);
  }
  return tiles;
}

// Bytes: how bytes are multiplied.
template <class Bytes>
constexpr MacIsa neon_functions(Isa isa) {
  constexpr bool tall = Bytes::tall;
  MacIsa table = common_functions<NeonWords>(isa);
  table.vectors = 4;
  table.rows[1] = 8;
  table.rows[2] = tall ? 12 : 6;
  table.rows[3] = tall ? 8 : 4;
  table.rows[4] = tall ? 6 : 3;
  table.bytes = true;
  table.bytes_apart = Bytes::apart;
  table.words_apart = NeonWords::apart;
  table.byte_tiles[static_cast<int>(Store::int8)] = neon_tiles<Bytes, true, Store::int8, tall>();
  table.byte_tiles[static_cast<int>(Store::sums)] = neon_tiles<Bytes, true, Store::sums, tall>();
  table.word_tiles[static_cast<int>(Store::int16)] = neon_tiles<NeonWords, false, Store::int16, tall>();
  table.word_tiles[static_cast<int>(Store::sums)] = neon_tiles<NeonWords, false, Store::sums, tall>();
  table.word_tiles[static_cast<int>(Store::split)] = neon_split_tiles<tall>();
  table.depthwise_row = &depthwise_row<NeonRows<Bytes>>;
  add_depthwise_words<NeonPairs>(table);
  table.guard = &guard_any<Bytes>;
  table.dots = &dots<Bytes, true, 12>;
  return table;
}
