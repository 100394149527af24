// Rows of outputs of depthwise operators, written once over a vector type V of 256 or 512 bits. unpack8 and unpack16 interleave the low or
// the high halves of each 128 bits, which is where byte_order and word_order come from. Included behind a target pragma.

// Inputs of four rows side by side: four vectors of groups for the four vectors of channels of a block, in the order of byte_order.
template <class V>
inline void interleave(const std::uint8_t* const* rows, std::size_t at, typename V::I (&groups)[4]) {
  using I = typename V::I;
  const I a = V::load(rows[0] + at), b = V::load(rows[1] + at), c = V::load(rows[2] + at), d = V::load(rows[3] + at);
  const I low_ab = V::unpack8(a, b, false), high_ab = V::unpack8(a, b, true);
  const I low_cd = V::unpack8(c, d, false), high_cd = V::unpack8(c, d, true);
  groups[0] = V::unpack16(low_ab, low_cd, false);
  groups[1] = V::unpack16(low_ab, low_cd, true);
  groups[2] = V::unpack16(high_ab, high_cd, false);
  groups[3] = V::unpack16(high_ab, high_cd, true);
}

inline constexpr std::size_t kKeptBytes = 16 << 10;   // they stay in the first cache

// A block of channels of one row of outputs. Columns are interleaved once, kept, and read by every output that looks at them.
template <class V>
struct DepthwiseBlock {
  using I = typename V::I;
  static constexpr std::size_t kVector = V::lanes * 4, kColumn = 4 * kVector;

  const DepthwiseRow d;  // its own: no output that is stored can be part of it
  std::size_t start;
  const std::uint8_t* weights;
  alignas(64) std::uint8_t kept[kKeptBytes];  // [columns][row groups][4] vectors

  DepthwiseBlock(const DepthwiseRow& row, std::size_t first)
      : d(row), start(first), weights(row.weights + first / kVector * row.row_groups * row.kernel_width * kColumn) {}

  // Columns [column, column + count) into the slots from `slot` on.
  void keep(std::size_t column, std::size_t count, std::size_t slot) {
    const std::size_t channels = d.channels, groups_apart = d.row_groups * kColumn;
    for (std::size_t group = 0; group < d.row_groups; ++group) {
      const std::uint8_t* const rows[4] = {d.rows[4 * group], d.rows[4 * group + 1], d.rows[4 * group + 2], d.rows[4 * group + 3]};
      std::uint8_t* place = kept + slot * groups_apart + group * kColumn;
      std::size_t at = column * channels + start;
      for (std::size_t i = 0; i < count; ++i, at += channels, place += groups_apart) {
        I groups[4];
        interleave<V>(rows, at, groups);
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) V::store(groups[v], place + v * kVector);
      }
    }
  }

  // Some outputs from kept columns: output i reads `kernel_width` of them, `dilation` apart, from `stride` * i on.
  template <int outputs>
  void some(const std::uint8_t* columns, std::size_t stride, std::size_t dilation, std::size_t output) const {
    const std::size_t column_bytes = d.row_groups * kColumn;
    I sums[outputs][4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const I offset = V::load(d.finish.offset + start + v * V::lanes);
#pragma GCC unroll 2
      for (int i = 0; i < outputs; ++i) sums[i][v] = offset;
    }
    const std::uint8_t* w = weights;
    for (std::size_t kx = 0; kx < d.kernel_width; ++kx) {
      const std::uint8_t* x = columns + kx * dilation * column_bytes;
      for (std::size_t group = 0; group < d.row_groups; ++group, x += kColumn, w += kColumn) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
          const I weight = V::load(w + v * kVector);
#pragma GCC unroll 2
          for (int i = 0; i < outputs; ++i) sums[i][v] = V::dot_bytes(sums[i][v], V::load(x + i * stride * column_bytes + v * kVector), weight);
        }
      }
    }
#pragma GCC unroll 2
    for (int i = 0; i < outputs; ++i) finish(sums[i], output + i);
  }

  // One output from columns that it alone reads.
  void alone(std::size_t output) const {
    I sums[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sums[v] = V::load(d.finish.offset + start + v * V::lanes);
    const std::uint8_t* w = weights;
    for (std::size_t kx = 0; kx < d.kernel_width; ++kx) {
      const std::size_t at = (output * d.stride + kx * d.dilation) * d.channels + start;
      for (std::size_t group = 0; group < d.row_groups; ++group, w += kColumn) {
        I groups[4];
        interleave<V>(d.rows + 4 * group, at, groups);
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) sums[v] = V::dot_bytes(sums[v], groups[v], V::load(w + v * kVector));
      }
    }
    finish(sums, output);
  }

  void finish(const I (&sums)[4], std::size_t output) const {
    I done[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      const std::size_t entry = start + v * V::lanes;
      done[v] = V::finish(sums[v], d.finish.shift + entry, d.finish.mask + entry, d.finish.low);
    }
    V::store_block(done[0], done[1], done[2], done[3], d.out + output * d.channels + start, d.channels - start);
  }

  void run() {
    const std::size_t capacity = kKeptBytes / (d.row_groups * kColumn), span = (d.kernel_width - 1) * d.dilation + 1;
    if (span > capacity || d.stride >= span) {
      for (std::size_t ox = 0; ox < d.columns; ++ox) alone(ox);
      return;
    }
    const std::size_t most = (capacity - span) / d.stride + 1;
    for (std::size_t first = 0; first < d.columns;) {
      const std::size_t count = d.columns - first < most ? d.columns - first : most;
      keep(first * d.stride, (count - 1) * d.stride + span, 0);
      const std::size_t step = d.stride * d.row_groups * kColumn;
      std::size_t i = 0;
      for (; i + 2 <= count; i += 2) some<2>(kept + i * step, d.stride, d.dilation, first + i);
      if (i < count) some<1>(kept + i * step, 0, d.dilation, first + i);
      first += count;
    }
  }
};

// Filters of up to four rows and three columns, not dilated, keep the columns that the next output reads again in registers.
template <class V, int stride>
void depthwise_three(const DepthwiseRow& d, std::size_t start) {
  using I = typename V::I;
  const std::size_t c = d.channels, columns = d.columns;
  const std::uint8_t* const rows[4] = {d.rows[0], d.rows[1], d.rows[2], d.rows[3]};
  const DepthwiseBlock<V> block(d, start);
  I offset[4], first[4], second[4], third[4];
#pragma GCC unroll 4
  for (int v = 0; v < 4; ++v) offset[v] = V::load(d.finish.offset + start + v * V::lanes);
  const auto dot = [&](I(&sums)[4], const I(&column)[4], int kx) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      sums[v] = V::dot_bytes(sums[v], column[v], V::load(block.weights + kx * block.kColumn + v * block.kVector));
    }
  };
  interleave<V>(rows, start, first);
  if constexpr (stride == 1) interleave<V>(rows, start + c, second);
  for (std::size_t ox = 0; ox < columns; ++ox) {
    I sums[4] = {offset[0], offset[1], offset[2], offset[3]};
    if constexpr (stride == 2) interleave<V>(rows, start + (2 * ox + 1) * c, second);
    interleave<V>(rows, start + (stride * ox + 2) * c, third);
    dot(sums, first, 0);
    dot(sums, second, 1);
    dot(sums, third, 2);
    block.finish(sums, ox);
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) {
      first[v] = stride == 1 ? second[v] : third[v];
      second[v] = third[v];
    }
  }
}

template <class V>
void depthwise_row(const DepthwiseRow& d) {
  for (std::size_t start = 0; start < d.channels; start += V::lanes * 4) {
    if constexpr (V::has_many_registers) {
      const bool three = d.kernel_width == 3 && d.row_groups == 1 && d.dilation == 1;
      if (three && d.stride == 1) {
        depthwise_three<V, 1>(d, start);
        continue;
      }
      if (three && d.stride == 2) {
        depthwise_three<V, 2>(d, start);
        continue;
      }
    }
    DepthwiseBlock<V>(d, start).run();
  }
}

// Pairs of taps, two vectors of channels at a time.
template <class V, WordSums kind, typename Out>
void depthwise_words(const DepthwiseWords& d) {
  using I = typename V::I;
  constexpr std::size_t kVector = V::lanes * 4, kBlock = V::lanes * 2;
  constexpr int planes = kind == WordSums::one ? 1 : 2;
  const std::size_t c = d.channels, columns = d.columns, pairs = d.pairs, step = d.stride * c;
  const std::int16_t* const* const taps = d.taps;
  const Finish narrow = d.finish;
  const WideFinish wide = d.wide;
  for (std::size_t start = 0; start < c; start += kBlock) {
    const std::uint8_t* weights = d.weights + start / kBlock * pairs * planes * 2 * kVector;
    auto* out = static_cast<Out*>(d.out) + start;
    I offset[planes][2];
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      offset[0][v] = kind == WordSums::wide ? V::zero() : V::load(narrow.offset + start + v * V::lanes);
      if constexpr (planes == 2) offset[1][v] = kind == WordSums::wide ? V::zero() : V::load(d.second_offset + start + v * V::lanes);
    }
    for (std::size_t ox = 0; ox < columns; ++ox, out += c) {
      const std::size_t at = ox * step + start;
      I sums[planes][2];
#pragma GCC unroll 2
      for (int plane = 0; plane < planes; ++plane) {
        sums[plane][0] = offset[plane][0];
        sums[plane][1] = offset[plane][1];
      }
      const std::uint8_t* w = weights;
      for (std::size_t pair = 0; pair < pairs; ++pair, w += planes * 2 * kVector) {
        const I a = V::load(taps[2 * pair] + at), b = V::load(taps[2 * pair + 1] + at);
        const I low = V::unpack16(a, b, false), high = V::unpack16(a, b, true);
#pragma GCC unroll 2
        for (int plane = 0; plane < planes; ++plane) {
          sums[plane][0] = V::dot_words(sums[plane][0], low, V::load(w + plane * 2 * kVector));
          sums[plane][1] = V::dot_words(sums[plane][1], high, V::load(w + plane * 2 * kVector + kVector));
        }
      }
      I done[2];
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const std::size_t entry = start + v * V::lanes;
        if constexpr (kind == WordSums::one) {
          done[v] = V::finish(sums[0][v], narrow.shift + entry, narrow.mask + entry, narrow.low);
        } else if constexpr (kind == WordSums::pair) {
          done[v] = V::finish_split(sums[0][v], sums[1][v], narrow.shift + entry, narrow.mask + entry, narrow.low);
        } else {
          done[v] = V::finish_wide(sums[0][v], sums[1][v], wide, entry);
        }
      }
      if constexpr (sizeof(Out) == 1) {
        V::template store_int8<2>(done, out, c - start);
      } else {
        V::store_word_pair(done[0], done[1], out, c - start);
      }
    }
  }
}

// Depthwise operators over 16-bit values, and over int8 that is widened to them.
template <class V>
constexpr void add_depthwise_words(MacIsa& table) {
  const auto add = [&]<typename Out>(Out, int to) {
    table.depthwise_words[to][static_cast<int>(WordSums::one)] = &depthwise_words<V, WordSums::one, Out>;
    table.depthwise_words[to][static_cast<int>(WordSums::pair)] = &depthwise_words<V, WordSums::pair, Out>;
    table.depthwise_words[to][static_cast<int>(WordSums::wide)] = &depthwise_words<V, WordSums::wide, Out>;
  };
  add(std::int16_t{}, 0);
  add(std::int8_t{}, 1);
}
