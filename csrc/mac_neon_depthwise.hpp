// Depthwise operators on 128-bit vectors of arm64; included by mac_neon.hpp, see there.

// One column of up to four rows, sixteen channels: the four bytes of a channel in its lane, as V multiplies them.
struct NeonColumn {
  int32x4_t part[4];
};

template <class V>
inline NeonColumn interleave(const std::uint8_t* const rows[4], std::size_t at) {
  const uint8x16_t a = vld1q_u8(rows[0] + at), b = vld1q_u8(rows[1] + at), c = vld1q_u8(rows[2] + at), d = vld1q_u8(rows[3] + at);
  const uint8x16_t low_ab = vzip1q_u8(a, b), high_ab = vzip2q_u8(a, b), low_cd = vzip1q_u8(c, d), high_cd = vzip2q_u8(c, d);
  return {{V::weave_low(low_ab, low_cd), V::weave_high(low_ab, low_cd), V::weave_low(high_ab, high_cd),
           V::weave_high(high_ab, high_cd)}};
}

template <class V>
inline void multiply_column(int32x4_t (&sums)[4], const NeonColumn& column, const std::uint8_t* weights) {
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) sums[v] = V::multiply(sums[v], column.part[v], V::load(weights + 64 * v));
}

// Sixteen channels. Filters three columns wide and not dilated keep the columns that the next output reads again. stride 0: any other.
template <class V, int stride>
void depthwise_channels(const DepthwiseRow& d, std::size_t start) {
  const std::size_t c = d.channels, part = start % 64 / 16, first_lane = start / 64 * 64 + 4 * part;
  const std::uint8_t* weights = d.weights + start / 64 * d.kernel_width * 256 + 16 * part;
  const std::int32_t* shift = d.finish.shift + first_lane;
  const std::int32_t* mask = d.finish.mask + first_lane;
  int32x4_t offset[4];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) offset[v] = vld1q_s32(d.finish.offset + first_lane + 16 * v);
  NeonColumn first{}, second{}, third{};
  if constexpr (stride != 0) {
    first = interleave<V>(d.rows, start);
    if constexpr (stride == 1) second = interleave<V>(d.rows, start + c);
  }
  for (std::size_t ox = 0; ox < d.columns; ++ox) {
    int32x4_t sums[4] = {offset[0], offset[1], offset[2], offset[3]};
    if constexpr (stride == 0) {
      for (std::size_t kx = 0; kx < d.kernel_width; ++kx) {
        multiply_column<V>(sums, interleave<V>(d.rows, start + (ox * d.stride + kx * d.dilation) * c), weights + 256 * kx);
      }
    } else {
      if constexpr (stride == 2) second = interleave<V>(d.rows, start + (2 * ox + 1) * c);
      third = interleave<V>(d.rows, start + (stride * ox + 2) * c);
      multiply_column<V>(sums, first, weights);
      multiply_column<V>(sums, second, weights + 256);
      multiply_column<V>(sums, third, weights + 512);
      first = stride == 1 ? second : third;
      second = third;
    }
    int32x4_t done[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) done[v] = V::finish(sums[v], shift + 16 * v, mask + 16 * v, d.finish.low);
    V::template store_int8<4>(done, d.out + ox * c + start, c - start);
  }
}

template <class V>
void depthwise_row(const DepthwiseRow& d) {
  const bool keeps = d.kernel_width == 3 && d.dilation == 1;
  const auto channels = keeps && d.stride == 1 ? &depthwise_channels<V, 1>
                      : keeps && d.stride == 2 ? &depthwise_channels<V, 2>
                                               : &depthwise_channels<V, 0>;
  for (std::size_t start = 0; start < d.channels; start += 16) channels(d, start);
}

// Eight channels of a block at a time: the lower four are lanes of its first vector, the others the same lanes of its second one.
template <int planes>
void depthwise_words(const DepthwiseWords& d) {
  const std::size_t c = d.channels;
  for (std::size_t start = 0; start < c; start += 8) {
    const std::size_t block = start / kWordBlock, part = start % kWordBlock / 8, lane = block * kWordBlock + 4 * part;
    const std::uint8_t* weights = d.weights + block * d.pairs * planes * 128 + 16 * part;
    for (std::size_t ox = 0; ox < d.columns; ++ox) {
      const std::size_t at = ox * d.stride * c + start;
      int32x4_t sums[planes][2];
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        sums[0][v] = planes == 1 ? vld1q_s32(d.finish.offset + lane + 16 * v) : vdupq_n_s32(0);
        if constexpr (planes == 2) sums[1][v] = vdupq_n_s32(0);
      }
      const std::uint8_t* w = weights;
      for (std::size_t pair = 0; pair < d.pairs; ++pair, w += planes * 128) {
        const int64x2_t a = vreinterpretq_s64_s16(vld1q_s16(d.taps[2 * pair] + at));
        const int64x2_t b = vreinterpretq_s64_s16(vld1q_s16(d.taps[2 * pair + 1] + at));
        const int32x4_t low = vreinterpretq_s32_s64(vzip1q_s64(a, b)), high = vreinterpretq_s32_s64(vzip2q_s64(a, b));
#pragma GCC unroll 2
        for (int plane = 0; plane < planes; ++plane) {
          sums[plane][0] = NeonWords::multiply(sums[plane][0], low, NeonWords::load(w + plane * 128));
          sums[plane][1] = NeonWords::multiply(sums[plane][1], high, NeonWords::load(w + plane * 128 + 64));
        }
      }
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const std::size_t entry = lane + 16 * v;
        int32x4_t done;
        if constexpr (planes == 1) {
          done = NeonWords::finish(sums[0][v], d.finish.shift + entry, d.finish.mask + entry, d.finish.low);
        } else {
          done = finish_wide(sums[0][v], sums[1][v], d.wide, entry);
        }
        NeonWords::store_int16(done, d.out + ox * c + start, 4 * v, c - start);
      }
    }
  }
}
