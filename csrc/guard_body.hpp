// Watching saturating accumulators, written once over a vector type V; included by mac_body.hpp, see there.

template <bool bytes>
inline std::int32_t input_at(const std::uint8_t* inputs, std::size_t tap) {
  if constexpr (bytes) {
    return std::int32_t{inputs[tap]} - 128;
  } else {
    std::int16_t value;
    __builtin_memcpy(&value, inputs + 2 * tap, 2);
    return value;
  }
}

// One block of outputs at one position.
struct GuardLanes {
  alignas(64) std::int32_t value[kGuardBlock];
  alignas(64) std::int32_t low[kGuardBlock];
  alignas(64) std::int32_t high[kGuardBlock];
};

// Sums of one stretch of products.
template <bool bytes>
inline void stretch_sums(const std::uint8_t* inputs, const std::int8_t* weights, const std::int32_t*, std::size_t first, std::size_t last,
                         std::int32_t* sums) {
  for (std::size_t i = 0; i < kGuardBlock; ++i) sums[i] = 0;
  for (std::size_t tap = first; tap < last; ++tap) {
    const std::int32_t x = input_at<bytes>(inputs, tap);
    const std::int8_t* w = weights + tap / 4 * (kGuardBlock * 4) + tap % 4;
    for (std::size_t i = 0; i < kGuardBlock; ++i) sums[i] += x * w[4 * i];
  }
}

// The positive products of a run add up to (magnitude + sum) / 2, the negative ones to (sum - magnitude) / 2, and no partial sum lies beyond
// what was there before and one of them. The magnitude is at most the product of the norms of inputs and weights (Cauchy and Schwarz).
template <class V>
inline bool may_leave(const std::int32_t* before, const std::int32_t* sums, const float* norms, float norm, const float* twice_low,
                      const float* twice_high) {
  if constexpr (V::has_may_leave) return V::may_leave(before, sums, norms, norm, twice_low, twice_high);
  std::int32_t leaves = 0;
  for (std::size_t i = 0; i < kGuardBlock; ++i) {
    const float sum = 2.0f * static_cast<float>(before[i]) + static_cast<float>(sums[i]);
    const float magnitude = norm * norms[i];
    leaves |= (sum + magnitude > twice_high[i]) | (sum - magnitude < twice_low[i]);
  }
  return leaves != 0;
}

// Adds the products of one position up in order, for the outputs of one block: stretch by stretch where that is safe, else one by one.
template <class V, bool bytes>
void walk_block(const GuardedRows& r, const std::uint8_t* inputs, std::int32_t* sums, std::size_t block) {
  const Guard& g = *r.guard;
  const std::size_t first = block * kGuardBlock;
  GuardLanes lanes;
  for (std::size_t i = 0; i < kGuardBlock; ++i) {
    lanes.low[i] = g.low[first + i];
    lanes.high[i] = g.high[first + i];
    const std::int32_t bias = g.bias[first + i];
    lanes.value[i] = bias < lanes.low[i] ? lanes.low[i] : bias > lanes.high[i] ? lanes.high[i] : bias;
  }
  const std::int8_t* weights = g.weights + block * ((g.taps + 3) / 4) * (kGuardBlock * 4);
  for (std::size_t stretch = 0; stretch < g.stretches; ++stretch) {
    const std::size_t start = stretch * kStretch, end = start + kStretch < g.taps ? start + kStretch : g.taps;
    const std::size_t entry = (block * g.stretches + stretch) * kGuardBlock;
    alignas(64) std::int32_t some[kGuardBlock];
    if constexpr (bytes && V::has_stretch_sums) {
      V::stretch_sums(inputs, weights, g.stretch_correction + entry, start, end, some);
    } else {
      stretch_sums<bytes>(inputs, weights, g.stretch_correction + entry, start, end, some);
    }
    if (!may_leave<V>(lanes.value, some, g.stretch_norm + entry, r.norms[stretch], g.twice_low + first, g.twice_high + first)) {
      for (std::size_t i = 0; i < kGuardBlock; ++i) lanes.value[i] += some[i];
      continue;
    }
    for (std::size_t tap = start; tap < end; ++tap) {
      const std::int32_t x = input_at<bytes>(inputs, tap);
      const std::int8_t* w = weights + tap / 4 * (kGuardBlock * 4) + tap % 4;
      for (std::size_t i = 0; i < kGuardBlock; ++i) {
        const std::int32_t next = lanes.value[i] + x * w[4 * i];
        const std::int32_t raised = next < lanes.low[i] ? lanes.low[i] : next;
        lanes.value[i] = raised > lanes.high[i] ? lanes.high[i] : raised;
      }
    }
  }
  for (std::size_t i = 0; i < kGuardBlock && first + i < g.outputs; ++i) {
    const std::int32_t sum = lanes.value[i] - g.bias[first + i];
    if (sum != sums[first + i]) r.differing[first + i].fetch_add(1, std::memory_order_relaxed);
    sums[first + i] = sum;
  }
}

template <class V, bool bytes>
void guard_rows(const GuardedRows& r) {
  const Guard& g = *r.guard;
  for (std::size_t row = 0; row < r.rows; ++row) {
    const std::uint8_t* inputs = r.inputs + row * r.input_stride;
    std::int32_t* sums = r.sums + row * g.outputs;
    std::int32_t squares = 0;
    for (std::size_t stretch = 0; stretch < g.stretches; ++stretch) {
      const std::size_t start = stretch * kStretch, end = start + kStretch < g.taps ? start + kStretch : g.taps;
      std::int32_t some = 0;
      for (std::size_t tap = start; tap < end; ++tap) {
        const auto x = static_cast<std::int16_t>(input_at<bytes>(inputs, tap));
        some += std::int32_t{x} * std::int32_t{x};
      }
      squares += some;
      r.norms[stretch] = std::sqrt(static_cast<float>(some)) * 1.00001f;
    }
    const float norm = std::sqrt(static_cast<float>(squares)) * 1.00001f;
    if (norm * g.largest_norm <= g.room) continue;
    for (std::size_t block = 0, first = 0; first < g.outputs; ++block, first += kGuardBlock) {
      std::int32_t some[kGuardBlock] = {};
      const std::size_t size = g.outputs - first < kGuardBlock ? g.outputs - first : kGuardBlock;
      __builtin_memcpy(some, sums + first, size * sizeof(std::int32_t));
      if (may_leave<V>(g.bias + first, some, g.norm + first, norm, g.twice_low + first, g.twice_high + first)) {
        walk_block<V, bytes>(r, inputs, sums, block);
      }
    }
  }
}

template <class V>
void guard_any(const GuardedRows& r) {
  if (r.bytes) {
    guard_rows<V, true>(r);
  } else {
    guard_rows<V, false>(r);
  }
}
