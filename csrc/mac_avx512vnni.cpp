// AVX-512 with vpdpbusd and vpdpwssd.
#include "mac_isa.hpp"

#if ESPDL_X86
#include <immintrin.h>

#include "target.hpp"

ESPDL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")
namespace espdl {
namespace {
#include "mac_body.hpp"
#include "mac_avx512.hpp"

using V = Wide<true>;

// One column of up to four rows, 64 channels: the four bytes of a channel side by side, in four vectors in the order of store_block.
struct Column {
  __m512i part[4];
};

inline Column interleave(const std::uint8_t* const rows[4], std::size_t at) {
  const __m512i a = V::load(rows[0] + at), b = V::load(rows[1] + at), c = V::load(rows[2] + at), d = V::load(rows[3] + at);
  const __m512i low_ab = _mm512_unpacklo_epi8(a, b), high_ab = _mm512_unpackhi_epi8(a, b);
  const __m512i low_cd = _mm512_unpacklo_epi8(c, d), high_cd = _mm512_unpackhi_epi8(c, d);
  return {{_mm512_unpacklo_epi16(low_ab, low_cd), _mm512_unpackhi_epi16(low_ab, low_cd), _mm512_unpacklo_epi16(high_ab, high_cd),
           _mm512_unpackhi_epi16(high_ab, high_cd)}};
}

inline void dot(__m512i (&sums)[4], const Column& column, const std::uint8_t* weights) {
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) sums[v] = V::dot_bytes(sums[v], column.part[v], V::load(weights + 64 * v));
}

// Filters three columns wide and not dilated keep the columns that the next output reads again. stride 0: any other filter.
template <int stride>
void depthwise_block(const DepthwiseRow& d, std::size_t start) {
  const std::size_t c = d.channels, left = c - start;
  const std::uint8_t* weights = d.weights + start / 64 * d.kernel_width * 256;
  const std::int32_t* shift = d.finish.shift + start;
  const std::int32_t* mask = d.finish.mask + start;
  __m512i offset[4];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) offset[v] = V::load(d.finish.offset + start + 16 * v);
  Column first{}, second{}, third{};
  if constexpr (stride != 0) {
    first = interleave(d.rows, start);
    if constexpr (stride == 1) second = interleave(d.rows, start + c);
  }
  for (std::size_t ox = 0; ox < d.columns; ++ox) {
    __m512i sums[4] = {offset[0], offset[1], offset[2], offset[3]};
    if constexpr (stride == 0) {
      for (std::size_t kx = 0; kx < d.kernel_width; ++kx) {
        dot(sums, interleave(d.rows, start + (ox * d.stride + kx * d.dilation) * c), weights + 256 * kx);
      }
    } else {
      if constexpr (stride == 2) second = interleave(d.rows, start + (2 * ox + 1) * c);
      third = interleave(d.rows, start + (stride * ox + 2) * c);
      dot(sums, first, weights);
      dot(sums, second, weights + 256);
      dot(sums, third, weights + 512);
      first = stride == 1 ? second : third;
      second = third;
    }
    __m512i done[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) done[v] = V::finish(sums[v], shift + 16 * v, mask + 16 * v, d.finish.low);
    V::store_block(done[0], done[1], done[2], done[3], d.out + ox * c + start, left);
  }
}

void depthwise_row(const DepthwiseRow& d) {
  for (std::size_t start = 0; start < d.channels; start += 64) {
    if (d.kernel_width == 3 && d.dilation == 1 && d.stride == 1) {
      depthwise_block<1>(d, start);
    } else if (d.kernel_width == 3 && d.dilation == 1 && d.stride == 2) {
      depthwise_block<2>(d, start);
    } else {
      depthwise_block<0>(d, start);
    }
  }
}

constexpr MacIsa functions() {
  MacIsa table = wide_functions<V>(Isa::avx512vnni);
  table.bytes = true;
  table.dots = &dots<V, true, 12>;
  table.byte_tiles[static_cast<int>(Store::int8)] = wide_tiles<V, true, Store::int8>();
  table.byte_tiles[static_cast<int>(Store::sums)] = wide_tiles<V, true, Store::sums>();
  table.depthwise_row = &depthwise_row;
  return table;
}

}  // namespace

constinit const MacIsa kMacAvx512Vnni = functions();

}  // namespace espdl
ESPDL_TARGET_END
#endif
