// Sums of 16-bit weights by 16-bit inputs that are let wrap (Store::wrapped). Included by mac_body.hpp.
//
// Beside each sum that wraps an estimate of it grows, in units of 65536, from the high bytes of weights and inputs alone. Of the numbers
// that wrap to the same sum only one lies within half of 2**32 of the estimate, and it is the exact one. That costs half as many
// multiplications more as the sums themselves, where the sums of two parts of the weights would cost as many again. Where errors of the
// estimate could reach that half, the taps are taken in runs, between which the estimate is put right.

// V multiplies words, B bytes.
template <class V, class B, int rows, int nv>
void wrapped_tile(const Tile& t) {
  using I = typename V::I;
  constexpr int half = nv / 2;  // first of the estimates
  I sums[rows][nv];
#pragma GCC unroll 4
  for (int v = 0; v < nv; ++v) {
    const I offset = V::load(t.finish.offset + v * V::lanes);
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m) sums[m][v] = offset;
  }
  const std::size_t stride = t.input_stride;
  const std::uint8_t *words[(rows + 3) / 4], *bytes[(rows + 3) / 4];
#pragma GCC unroll 3
  for (int i = 0; i < (rows + 3) / 4; ++i) {
    words[i] = t.inputs + 4 * i * stride;
    bytes[i] = words[i] + 8 * t.groups;
  }
  const std::uint8_t* w = t.weights;
  const std::size_t* run = t.runs;
  for (std::size_t g = 0; g < t.groups; ++run) {
    // what the estimate has to hold beside its products
#pragma GCC unroll 2
    for (int v = 0; v < half; ++v) {
      const I start = V::load(w + v * V::lanes * 4);
#pragma GCC unroll 12
      for (int m = 0; m < rows; ++m) sums[m][half + v] = V::add(sums[m][half + v], start);
    }
    w += half * V::lanes * 4;
    for (const std::size_t end = *run; g < end; ++g) {
#pragma GCC unroll 2
      for (int word = 0; word < 2; ++word) {
        I weights[half];
#pragma GCC unroll 2
        for (int v = 0; v < half; ++v) weights[v] = V::load(w + v * V::lanes * 4);
        w += half * V::lanes * 4;
#pragma GCC unroll 12
        for (int m = 0; m < rows; ++m) {
          const I group = V::broadcast(words[m / 4] + (m % 4) * stride + 4 * word);
#pragma GCC unroll 2
          for (int v = 0; v < half; ++v) sums[m][v] = V::dot_words(sums[m][v], group, weights[v]);
        }
      }
      I weights[half];
#pragma GCC unroll 2
      for (int v = 0; v < half; ++v) weights[v] = V::load(w + v * V::lanes * 4);
      w += half * V::lanes * 4;
#pragma GCC unroll 12
      for (int m = 0; m < rows; ++m) {
        const I group = B::broadcast(bytes[m / 4] + (m % 4) * stride);
#pragma GCC unroll 2
        for (int v = 0; v < half; ++v) sums[m][half + v] = B::dot_bytes(sums[m][half + v], group, weights[v]);
      }
#pragma GCC unroll 3
      for (int i = 0; i < (rows + 3) / 4; ++i) {
        words[i] += 8;
        bytes[i] += 4;
      }
    }
    if (g == t.groups) break;
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m) {
#pragma GCC unroll 2
      for (int v = 0; v < half; ++v) V::settle(sums[m][v], sums[m][half + v]);
    }
  }
#pragma GCC unroll 12
  for (int m = 0; m < rows; ++m) {
    if (static_cast<std::size_t>(m) >= t.rows) break;
    auto* out = static_cast<std::int16_t*>(t.out) + m * t.out_stride;
#pragma GCC unroll 2
    for (int v = 0; v < half; ++v) {
      const int at = (half + v) * V::lanes;
      V::unwrap(sums[m][v], sums[m][half + v]);
      V::store_int16(V::finish_split(sums[m][v], sums[m][half + v], t.finish.shift + at, t.finish.mask + at, t.finish.low), out,
                     v * V::lanes, t.channels);
    }
  }
}

template <class V, class B, int nv, int... rows>
constexpr void add_wrapped_tiles(Tiles& tiles) {
  ((tiles.of[nv][rows] = &wrapped_tile<V, B, rows, nv>), ...);
}

// Copies words and, apart from them, their high bytes plus byte_zero, for vector types that take 16 at a time. source and words may be the
// same.
template <class V>
inline void copy_with_high_bytes_any(const std::int16_t* source, std::int16_t* words, std::uint8_t* bytes, std::size_t size) {
  constexpr std::size_t kBlock = 16;
  for (std::size_t i = 0; size < kBlock && i < size; ++i) {
    words[i] = source[i];
    bytes[i] = static_cast<std::uint8_t>((words[i] >> 8) + V::byte_zero);
  }
  for (std::size_t i = 0; size >= kBlock && i < size; i += kBlock) {
    const std::size_t at = size - i < kBlock ? size - kBlock : i;  // the last block reaches back into the one before
    V::copy_block_with_high_bytes(source + at, words + at, bytes + at);
  }
}

template <class V>
void gather_wrapped(const Geometry& g, const void* image, std::size_t first, std::size_t count, std::uint8_t* panel,
                    std::size_t panel_stride) {
  const std::size_t taps = g.kernel_height * g.kernel_width * g.channels;
  const std::size_t to_bytes = panel_stride / kWrappedGroupBytes * 8;
  if (g.is_pointwise()) {
    const auto* source = static_cast<const std::int16_t*>(image) + first * taps;
    for (std::size_t i = 0; i < count; ++i, source += taps, panel += panel_stride) {
      V::copy_with_high_bytes(source, reinterpret_cast<std::int16_t*>(panel), panel + to_bytes, taps);
    }
    return;
  }
  gather<V, Words>(g, image, first, count, panel, panel_stride);
  // backwards: forwards, each load would wait for the store before it, whose vector reaches beyond its own position
  for (std::size_t i = count; i-- > 0;) {
    auto* words = reinterpret_cast<std::int16_t*>(panel + i * panel_stride);
    V::copy_with_high_bytes(words, words, panel + i * panel_stride + to_bytes, taps);
  }
}
