// Sums added up product by product in accumulators of any kind; included by mac_body.hpp, see there. A strip of outputs is taken a vector
// at a time, and some positions at once, so that additions need not wait for one another. Vectors are the compiler's own, `bytes` long as
// the instruction set's are: of longer ones it would make single values.

inline constexpr int kTogether = 4;

template <typename T, std::size_t size>
struct VectorOf {
  typedef T type __attribute__((vector_size(size)));
};

template <typename Vector>
ESPDL_INLINE Vector vector_at(const void* source) {
  Vector values;
  __builtin_memcpy(&values, source, sizeof values);
  return values;
}

// The accumulators of some outputs of a strip, from output `first` on, for `positions` positions. Exact sums wrap.
template <typename Int, std::size_t bytes, bool is_widest, int positions>
struct Accumulators {
  static constexpr std::size_t lanes = bytes / sizeof(Int);
  using Word = std::make_unsigned_t<Int>;
  using Vector = typename VectorOf<Int, bytes>::type;
  using Words = typename VectorOf<Word, bytes>::type;
  using Factor = typename VectorOf<std::int32_t, lanes * 4>::type;
  Vector low, high, value[positions], exact[positions];

  ESPDL_INLINE Accumulators(const LaneStrip<Int>& s, std::size_t first) {
    low = vector_at<Vector>(s.low + first);
    high = vector_at<Vector>(s.high + first);
#pragma GCC unroll 4
    for (int k = 0; k < positions; ++k) {
      value[k] = vector_at<Vector>(s.start + first);
      exact[k] = vector_at<Vector>(s.bias + first);
    }
  }

  ESPDL_INLINE static Vector product(Factor a, Factor b) { return __builtin_convertvector(a * b, Vector); }

  ESPDL_INLINE void add(int k, Vector term) {
    exact[k] = (Vector)((Words)exact[k] + (Words)term);
    Vector sum = value[k];
    if constexpr (is_widest) {
      // the sum itself may leave the type: make room for the term first
      const Vector none{}, up = term > none ? term : none, down = term < none ? term : none;
      const Vector highest = high - up, lowest = low - down;
      sum = (sum > highest ? highest : sum) + up;
      sum = (sum < lowest ? lowest : sum) + down;
    } else {
      sum += term;
      sum = sum < low ? low : sum;
      sum = sum > high ? high : sum;
    }
    value[k] = sum;
  }

  // What the chip's accumulators hold at the end, into the sums of the strip [position][kStrip]; counts those that are not the exact ones.
  ESPDL_INLINE void finish(const LaneStrip<Int>& s, std::size_t first, Int* sums, std::uint32_t* counts) const {
    Vector differing{};
#pragma GCC unroll 4
    for (int k = 0; k < positions; ++k) {
      const Vector saturates = vector_at<Vector>(s.saturates + first), none{};
      Vector result = saturates != none ? value[k] : exact[k];
      Int* target = sums + k * kStrip + first;
      __builtin_memcpy(target, &result, sizeof result);
      if (s.wrap_shift != nullptr) {
        for (std::size_t n = 0; n < lanes; ++n) {
          const int unused = s.wrap_shift[first + n];
          target[n] = static_cast<Int>(static_cast<Word>(target[n]) << unused) >> unused;
        }
        result = vector_at<Vector>(target);
      }
      differing -= result != exact[k];
    }
    Int some[lanes];
    __builtin_memcpy(some, &differing, sizeof some);
    for (std::size_t n = 0; n < lanes; ++n) counts[first + n] += static_cast<std::uint32_t>(some[n]);
  }
};

template <typename Int, std::size_t bytes, bool is_widest, int positions>
ESPDL_INLINE void walk_columns(const DepthwiseWalk<Int>& w, std::size_t first, std::size_t column) {
  using A = Accumulators<Int, bytes, is_widest, positions>;
  const std::size_t step = w.stride * kStrip;
  A sums(w.strip, first);
  const std::int32_t* weights = w.strip.weights + first;
  for (std::size_t row = 0; row < w.kernel_height; ++row) {
    const std::int32_t* x = w.inputs + row * w.row_stride + column * step + first;
    for (std::size_t kx = 0; kx < w.kernel_width; ++kx, x += w.dilation * kStrip, weights += kStrip) {
      const auto weight = vector_at<typename A::Factor>(weights);
#pragma GCC unroll 4
      for (int k = 0; k < positions; ++k) {
        sums.add(k, A::product(weight, vector_at<typename A::Factor>(x + static_cast<std::size_t>(k) * step)));
      }
    }
  }
  sums.finish(w.strip, first, w.sums + column * kStrip, w.counts);
}

template <typename Int, std::size_t bytes, bool is_widest>
void walk_row(const DepthwiseWalk<Int>& w) {
  for (std::size_t first = 0; first < kStrip; first += bytes / sizeof(Int)) {
    std::size_t column = 0;
    for (; column + kTogether <= w.columns; column += kTogether) walk_columns<Int, bytes, is_widest, kTogether>(w, first, column);
    for (; column < w.columns; ++column) walk_columns<Int, bytes, is_widest, 1>(w, first, column);
  }
}

template <typename Int, std::size_t bytes>
void walk_depthwise(const DepthwiseWalk<Int>& w) {
  if constexpr (sizeof(Int) == 8) {
    if (w.strip.is_widest) return walk_row<Int, bytes, true>(w);
  }
  walk_row<Int, bytes, false>(w);
}

// Adds the products of some positions up, `every` of a tap at a time; known to be 1 where `is_single`.
template <bool is_single, typename Int, typename Sums, int positions>
ESPDL_INLINE void walk_taps(const DenseWalk<Int>& w, const std::int16_t* const (&x)[positions], std::size_t every, std::size_t first,
                            Sums& sums) {
  const std::int32_t* weights = w.strip.weights + first;
  const std::size_t taps = is_single ? 1 : w.taps, channels = is_single ? w.taps * w.channels : w.channels;
  std::size_t at = 0;
  for (std::size_t tap = 0; tap < taps; ++tap) {
    for (std::size_t start = 0; start < channels; start += every) {
      const std::size_t count = is_single ? 1 : channels - start < every ? channels - start : every;
      typename Sums::Vector terms[positions] = {};
      for (std::size_t j = 0; j < count; ++j, ++at, weights += kStrip) {
        const auto weight = vector_at<typename Sums::Factor>(weights);
#pragma GCC unroll 4
        for (int k = 0; k < positions; ++k) terms[k] += Sums::product(weight, typename Sums::Factor{} + std::int32_t{x[k][at]});
      }
#pragma GCC unroll 4
      for (int k = 0; k < positions; ++k) sums.add(k, terms[k]);
    }
  }
}

template <typename Int, std::size_t bytes, bool is_widest, int positions>
ESPDL_INLINE void walk_positions(const DenseWalk<Int>& w, std::size_t first, std::size_t position) {
  using A = Accumulators<Int, bytes, is_widest, positions>;
  const std::int16_t* x[positions];
  for (int k = 0; k < positions; ++k) x[k] = reinterpret_cast<const std::int16_t*>(w.inputs + w.positions[position + k] * w.input_stride);
  A sums(w.strip, first);
  if (w.every[0] == 1) {
    walk_taps<true>(w, x, 1, first, sums);
  } else {
    walk_taps<false>(w, x, w.every[0], first, sums);
  }
  for (std::size_t other = 1; other < w.kinds; ++other) {
    A those(w.strip, first);
    walk_taps<false>(w, x, w.every[other], first, those);
    const auto kind = vector_at<typename A::Vector>(w.kind + first);
    for (int k = 0; k < positions; ++k) sums.value[k] = kind == static_cast<Int>(other) ? those.value[k] : sums.value[k];
  }
  sums.finish(w.strip, first, w.sums + position * kStrip, w.counts);
}

template <typename Int, std::size_t bytes, bool is_widest>
void walk_all(const DenseWalk<Int>& w) {
  for (std::size_t first = 0; first < kStrip; first += bytes / sizeof(Int)) {
    std::size_t i = 0;
    for (; i + kTogether <= w.count; i += kTogether) walk_positions<Int, bytes, is_widest, kTogether>(w, first, i);
    for (; i < w.count; ++i) walk_positions<Int, bytes, is_widest, 1>(w, first, i);
  }
}

template <typename Int, std::size_t bytes>
void walk_dense(const DenseWalk<Int>& w) {
  if constexpr (sizeof(Int) == 8) {
    if (w.strip.is_widest) return walk_all<Int, bytes, true>(w);
  }
  walk_all<Int, bytes, false>(w);
}
