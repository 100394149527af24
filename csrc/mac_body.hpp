// The inner loops, written once over a vector type V. Each instruction set includes this file behind its target pragma, in its own
// unnamed namespace; no header of the standard library may be included from here.

// Moves all but the lowest byte of the low sums to the high ones. Not inlined: the registers belong to the loop around it.
template <class V, int rows, int nv>
__attribute__((noinline)) void carry(typename V::I (&sums)[rows][nv]) {
  for (int m = 0; m < rows; ++m) {
    for (int v = 0; v < nv / 2; ++v) V::carry(sums[m][v], sums[m][nv / 2 + v]);
  }
}

template <class V, bool bytes, Store store, int rows, int nv>
void tile(const Tile& t) {
  using I = typename V::I;
  I sums[rows][nv];
#pragma GCC unroll 4
  for (int v = 0; v < nv; ++v) {
    const I offset = V::load(t.finish.offset + v * V::lanes);
#pragma GCC unroll 12
    for (int m = 0; m < rows; ++m) sums[m][v] = offset;
  }
  const std::size_t stride = t.input_stride;
  const std::uint8_t* x[(rows + 3) / 4];
#pragma GCC unroll 3
  for (int i = 0; i < (rows + 3) / 4; ++i) x[i] = t.inputs + 4 * i * stride;
  const std::uint8_t* w = t.weights;
  constexpr int high = nv / 2;  // first of the high vectors
  for (std::size_t done = 0, end; done < t.groups; done = end) {
    end = store == Store::split && t.groups - done > kCarryGroups ? done + kCarryGroups : t.groups;
    for (std::size_t g = done; g < end; ++g) {
      I weights[nv];
#pragma GCC unroll 4
      for (int v = 0; v < nv; ++v) weights[v] = V::load(w + v * V::lanes * 4);
      w += nv * V::lanes * 4;
#pragma GCC unroll 12
      for (int m = 0; m < rows; ++m) {
        const I group = V::broadcast(x[m / 4] + (m % 4) * stride);
#pragma GCC unroll 4
        for (int v = 0; v < nv; ++v) {
          if constexpr (bytes) {
            sums[m][v] = V::dot_bytes(sums[m][v], group, weights[v]);
          } else {
            sums[m][v] = V::dot_words(sums[m][v], group, weights[v]);
          }
        }
      }
#pragma GCC unroll 3
      for (int i = 0; i < (rows + 3) / 4; ++i) x[i] += 4;
    }
    if constexpr (store == Store::split) {
      if (end < t.groups) {
        I some[rows][nv];
#pragma GCC unroll 12
        for (int m = 0; m < rows; ++m) {
#pragma GCC unroll 4
          for (int v = 0; v < nv; ++v) some[m][v] = sums[m][v];
        }
        carry<V, rows, nv>(some);
#pragma GCC unroll 12
        for (int m = 0; m < rows; ++m) {
#pragma GCC unroll 4
          for (int v = 0; v < nv; ++v) sums[m][v] = some[m][v];
        }
      }
    }
  }
#pragma GCC unroll 12
  for (int m = 0; m < rows; ++m) {
    if (static_cast<std::size_t>(m) >= t.rows) break;
    if constexpr (store == Store::sums) {
      auto* out = static_cast<std::int32_t*>(t.out) + m * t.out_stride;
#pragma GCC unroll 4
      for (int v = 0; v < nv; ++v) V::store_sums(sums[m][v], out, v * V::lanes, t.channels);
    } else if constexpr (store == Store::split) {
      auto* out = static_cast<std::int16_t*>(t.out) + m * t.out_stride;
#pragma GCC unroll 2
      for (int v = 0; v < high; ++v) {
        const int at = (high + v) * V::lanes;
        V::store_int16(V::finish_split(sums[m][v], sums[m][high + v], t.finish.shift + at, t.finish.mask + at, t.finish.low), out,
                       v * V::lanes, t.channels);
      }
    } else {
      I done[nv];
#pragma GCC unroll 4
      for (int v = 0; v < nv; ++v) {
        done[v] = V::finish(sums[m][v], t.finish.shift + v * V::lanes, t.finish.mask + v * V::lanes, t.finish.low);
      }
      if constexpr (store == Store::int8) {
        V::template store_int8<nv>(done, static_cast<std::int8_t*>(t.out) + m * t.out_stride, t.channels);
      } else {
        auto* out = static_cast<std::int16_t*>(t.out) + m * t.out_stride;
#pragma GCC unroll 4
        for (int v = 0; v < nv; ++v) V::store_int16(done[v], out, v * V::lanes, t.channels);
      }
    }
  }
}

template <class V, bool bytes, Store store, int nv, int... rows>
constexpr void add_tiles(Tiles& tiles) {
  ((tiles.of[nv][rows] = &tile<V, bytes, store, rows, nv>), ...);
}

// Sources and targets of a gather. `edge` is what a zero becomes: of bytes 128 or 0.
template <int zero>
struct Byte {
  using In = std::int8_t;
  using Out = std::uint8_t;
  static constexpr std::uint8_t edge = zero;
};
using Flipped = Byte<128>;
struct Widened {
  using In = std::int8_t;
  using Out = std::int16_t;
  static constexpr std::int16_t edge = 0;
};
struct Words {
  using In = std::int16_t;
  using Out = std::int16_t;
  static constexpr std::int16_t edge = 0;
};

template <class Kind>
inline void copy_plain(const typename Kind::In* source, typename Kind::Out* target, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    if constexpr (Kind::edge == 128) {
      target[i] = static_cast<std::uint8_t>(static_cast<std::uint8_t>(source[i]) ^ 0x80);
    } else {
      target[i] = static_cast<typename Kind::Out>(source[i]);
    }
  }
}

template <class V, class Kind>
inline void gather_copy(const typename Kind::In* source, typename Kind::Out* target, std::size_t size) {
  if constexpr (Kind::edge == 128 && V::has_flip) {
    V::flip(source, target, size);
  } else {
    copy_plain<Kind>(source, target, size);
  }
}

template <class Kind>
inline void gather_edge(typename Kind::Out* target, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) target[i] = Kind::edge;
}

// One row of the filter at one position: `width` values per column, columns that are outside become zeros.
template <class V, class Kind>
inline void gather_columns(const Geometry& g, const typename Kind::In* line, std::ptrdiff_t column, typename Kind::Out* target) {
  const auto width = static_cast<std::ptrdiff_t>(g.width);
  const auto kernel = static_cast<std::ptrdiff_t>(g.kernel_width);
  const std::size_t c = g.channels;
  if (g.dilation_x == 1) {
    const std::ptrdiff_t before = column < 0 ? (-column < kernel ? -column : kernel) : 0;
    const std::ptrdiff_t end = width - column < kernel ? (width - column > before ? width - column : before) : kernel;
    if (before > 0) gather_edge<Kind>(target, before * c);
    if (end > before) gather_copy<V, Kind>(line + (column + before) * static_cast<std::ptrdiff_t>(c), target + before * c, (end - before) * c);
    if (end < kernel) gather_edge<Kind>(target + end * c, (kernel - end) * c);
    return;
  }
  for (std::ptrdiff_t k = 0; k < kernel; ++k, target += c) {
    const std::ptrdiff_t at = column + k * static_cast<std::ptrdiff_t>(g.dilation_x);
    if (at < 0 || at >= width) {
      gather_edge<Kind>(target, c);
    } else {
      gather_copy<V, Kind>(line + at * static_cast<std::ptrdiff_t>(c), target, c);
    }
  }
}

// Positions of one output row whose columns all lie inside the image: for each one `kernel_height` runs of `size` values. A row above or
// below the image is a run of zeros that does not move on.
inline constexpr std::size_t kGatherRows = 8;
inline constexpr std::size_t kGatherZeros = 256;

template <class In>
inline const In* row_inside(const In* source, std::ptrdiff_t row, std::size_t height, std::ptrdiff_t line) {
  return row >= 0 && row < static_cast<std::ptrdiff_t>(height) ? source + row * line : nullptr;
}

template <class V, class Kind>
void gather_row(const Geometry& g, const typename Kind::In* source, std::size_t oy, std::size_t ox, std::size_t count, std::uint8_t* panel,
                std::size_t panel_stride) {
  static const typename Kind::In zeros[kGatherZeros] = {};
  using In = typename Kind::In;
  using Out = typename Kind::Out;
  const std::size_t c = g.channels, size = g.kernel_width * c;
  const auto line = static_cast<std::ptrdiff_t>(g.width * c);
  const auto top = static_cast<std::ptrdiff_t>(oy * g.stride_y) - static_cast<std::ptrdiff_t>(g.top);
  const bool runs = g.dilation_x == 1 && g.kernel_height <= kGatherRows && size <= kGatherZeros;
  for (std::size_t i = 0; i < count;) {
    const auto column = static_cast<std::ptrdiff_t>((ox + i) * g.stride_x) - static_cast<std::ptrdiff_t>(g.left);
    const auto last = static_cast<std::ptrdiff_t>(g.width) - static_cast<std::ptrdiff_t>(g.kernel_width);
    if (runs && column >= 0 && column <= last) {
      std::size_t some = static_cast<std::size_t>(last - column) / g.stride_x + 1;
      some = some < count - i ? some : count - i;
      const In* rows[kGatherRows];
      std::size_t steps[kGatherRows];
      for (std::size_t ky = 0; ky < g.kernel_height; ++ky) {
        const In* row = row_inside<In>(source, top + static_cast<std::ptrdiff_t>(ky * g.dilation_y), g.height, line);
        rows[ky] = row == nullptr ? zeros : row + column * static_cast<std::ptrdiff_t>(c);
        steps[ky] = row == nullptr ? 0 : g.stride_x * c;
      }
      V::template gather_runs<Kind>(rows, steps, g.kernel_height, size, some, panel + i * panel_stride, panel_stride);
      i += some;
      continue;
    }
    auto* target = reinterpret_cast<Out*>(panel + i * panel_stride);
    for (std::size_t ky = 0; ky < g.kernel_height; ++ky, target += size) {
      const In* row = row_inside<In>(source, top + static_cast<std::ptrdiff_t>(ky * g.dilation_y), g.height, line);
      if (row == nullptr) {
        gather_edge<Kind>(target, size);
      } else {
        gather_columns<V, Kind>(g, row, column, target);
      }
    }
    ++i;
  }
}

template <class V, class Kind>
void gather(const Geometry& g, const void* image, std::size_t first, std::size_t count, std::uint8_t* panel, std::size_t panel_stride) {
  const auto* source = static_cast<const typename Kind::In*>(image);
  const std::size_t c = g.channels;
  if (g.is_pointwise()) {
    if (c * sizeof(typename Kind::Out) == panel_stride) {
      gather_copy<V, Kind>(source + first * c, reinterpret_cast<typename Kind::Out*>(panel), count * c);
      return;
    }
    for (std::size_t i = 0; i < count; ++i) {
      gather_copy<V, Kind>(source + (first + i) * c, reinterpret_cast<typename Kind::Out*>(panel + i * panel_stride), c);
    }
    return;
  }
  std::size_t oy = first / g.out_width, ox = first % g.out_width;
  for (std::size_t done = 0; done < count; ++oy, ox = 0) {
    const std::size_t some = g.out_width - ox < count - done ? g.out_width - ox : count - done;
    gather_row<V, Kind>(g, source, oy, ox, some, panel + done * panel_stride, panel_stride);
    done += some;
  }
}

// Copies of any length, for vector types without shorter ways.
template <class V, class Kind>
inline void gather_runs_any(const typename Kind::In* const* rows, const std::size_t* steps, std::size_t height, std::size_t size,
                            std::size_t count, std::uint8_t* panel, std::size_t panel_stride) {
  for (std::size_t i = 0; i < count; ++i, panel += panel_stride) {
    auto* target = reinterpret_cast<typename Kind::Out*>(panel);
    for (std::size_t ky = 0; ky < height; ++ky, target += size) gather_copy<V, Kind>(rows[ky] + i * steps[ky], target, size);
  }
}

// Product is wide enough for one product, Sum for all of them.
template <class In, class Product, class Sum>
void depthwise_sums(const DepthwiseSums& d) {
  constexpr std::size_t kBlock = 64;
  for (std::size_t ox = 0; ox < d.columns; ++ox) {
    auto* out = static_cast<Sum*>(d.sums) + ox * d.channels;
    for (std::size_t start = 0; start < d.channels; start += kBlock) {
      const std::size_t size = d.channels - start < kBlock ? d.channels - start : kBlock;
      Sum sums[kBlock] = {};
      const std::int16_t* w = d.weights + start;
      for (std::size_t ky = 0; ky < d.kernel_height; ++ky) {
        for (std::size_t kx = 0; kx < d.kernel_width; ++kx, w += d.channels) {
          const auto* x = static_cast<const In*>(d.rows[ky]) + (ox * d.stride + kx * d.dilation) * d.channels + start;
          if (size == kBlock) {
            for (std::size_t i = 0; i < kBlock; ++i) sums[i] += static_cast<Product>(static_cast<Product>(x[i]) * static_cast<Product>(w[i]));
          } else {
            for (std::size_t i = 0; i < size; ++i) sums[i] += static_cast<Product>(static_cast<Product>(x[i]) * static_cast<Product>(w[i]));
          }
        }
      }
      for (std::size_t i = 0; i < size; ++i) out[start + i] = sums[i];
    }
  }
}

#include "guard_body.hpp"
#include "lanes_body.hpp"
#include "wrapped_body.hpp"

inline void accumulate(const std::int32_t* sums, std::size_t size, int left_shift, bool is_first, std::int64_t* total) {
  if (is_first) {
    for (std::size_t i = 0; i < size; ++i) total[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(std::int64_t{sums[i]}) << left_shift);
  } else {
    for (std::size_t i = 0; i < size; ++i) total[i] += static_cast<std::int64_t>(static_cast<std::uint64_t>(std::int64_t{sums[i]}) << left_shift);
  }
}

// What is multiplied is hidden from the compiler, which would otherwise multiply once.
template <class V, bool bytes, int sums>
double dots(std::size_t rounds) {
  volatile std::int32_t seed = 0x01020301;
  alignas(64) std::int32_t start[64];
  for (int i = 0; i < 64; ++i) start[i] = seed + i;
  typename V::I values[sums];
#pragma GCC unroll 16
  for (int i = 0; i < sums; ++i) values[i] = V::broadcast(start + i);
  const auto w = V::load(start + 16);
  for (std::size_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < sums; ++i) {
      if constexpr (bytes) {
        values[i] = V::dot_bytes(values[i], V::hidden(w), w);
      } else {
        values[i] = V::dot_words(values[i], V::hidden(w), w);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < sums; ++i) {
    V::store_sums(values[i], start, 0, V::lanes);
    seed = start[0];
  }
  return static_cast<double>(rounds) * sums * V::lanes * (bytes ? 4 : 2);
}

template <class V>
void flip_bytes(const void* source, std::uint8_t* target, std::size_t size) {
  gather_copy<V, Flipped>(static_cast<const std::int8_t*>(source), target, size);
}

inline void widen_bytes(const void* source, std::int16_t* target, std::size_t size) {
  copy_plain<Widened>(static_cast<const std::int8_t*>(source), target, size);
}

// What is the same for every instruction set.
template <class V>
constexpr MacIsa common_functions(Isa isa) {
  MacIsa table{};
  table.isa = isa;
  table.lanes = V::lanes;
  table.int8_order = &V::int8_order;
  table.byte_zero = V::byte_zero;
  table.gather_bytes = &gather<V, Byte<V::byte_zero>>;
  table.gather_widened = &gather<V, Widened>;
  table.gather_words = &gather<V, Words>;
  table.depthwise_sums8 = &depthwise_sums<std::int8_t, std::int32_t, std::int32_t>;
  table.depthwise_sums16 = &depthwise_sums<std::int16_t, std::int32_t, std::int32_t>;
  table.depthwise_sums16_wide = &depthwise_sums<std::int16_t, std::int32_t, std::int64_t>;
  table.guard = &guard_any<V>;
  table.walk_depthwise32 = &walk_depthwise<std::int32_t, V::vector_bytes>;
  table.walk_depthwise64 = &walk_depthwise<std::int64_t, V::vector_bytes>;
  table.walk_dense32 = &walk_dense<std::int32_t, V::vector_bytes>;
  table.walk_dense64 = &walk_dense<std::int64_t, V::vector_bytes>;
  table.accumulate = &accumulate;
  table.dots = &dots<V, false, 12>;
  table.flip = &flip_bytes<V>;
  table.widen = &widen_bytes;
  return table;
}
