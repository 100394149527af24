// Watching saturating accumulators, written once over a vector type V; included by mac_body.hpp, see there.

template <class V, bool bytes>
inline std::int32_t input_at(const std::uint8_t* inputs, std::size_t tap) {
  if constexpr (bytes) {
    return static_cast<std::int8_t>(inputs[tap] ^ V::byte_zero);
  } else {
    std::int16_t value;
    __builtin_memcpy(&value, inputs + 2 * tap, 2);
    return value;
  }
}

// Sums of one block of outputs at some positions.
using GuardLanes = std::int32_t[kGuardRows][kGuardBlock];

// Of one stretch of products, of `count` positions.
template <class V, bool bytes>
inline void stretch_sums(const std::uint8_t* const* inputs, std::size_t count, const std::int8_t* weights, std::size_t first, std::size_t last,
                         GuardLanes& sums) {
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t i = 0; i < kGuardBlock; ++i) sums[row][i] = 0;
    for (std::size_t tap = first; tap < last; ++tap) {
      const std::int32_t x = input_at<V, bytes>(inputs[row], tap);
      const std::int8_t* w = weights + tap / 4 * (kGuardBlock * 4) + tap % 4;
      for (std::size_t i = 0; i < kGuardBlock; ++i) sums[row][i] += x * w[4 * i];
    }
  }
}

// The same products one by one in order, onto what was there before.
template <class V, bool bytes>
inline void add_in_order(const std::uint8_t* inputs, const std::int8_t* weights, std::size_t first, std::size_t last, const std::int32_t* low,
                         const std::int32_t* high, std::int32_t* value) {
  for (std::size_t tap = first; tap < last; ++tap) {
    const std::int32_t x = input_at<V, bytes>(inputs, tap);
    const std::int8_t* w = weights + tap / 4 * (kGuardBlock * 4) + tap % 4;
    for (std::size_t i = 0; i < kGuardBlock; ++i) {
      const std::int32_t next = value[i] + x * w[4 * i];
      const std::int32_t raised = next < low[i] ? low[i] : next;
      value[i] = raised > high[i] ? high[i] : raised;
    }
  }
}

// The positive products of a run add up to (magnitude + sum) / 2, the negative ones to (sum - magnitude) / 2, and no partial sum lies beyond
// what was there before and one of them. The magnitude is at most the product of the norms of inputs and weights (Cauchy and Schwarz).
template <class V>
inline bool may_leave(const std::int32_t* before, const std::int32_t* sums, const float* norms, float norm, const float* twice_low,
                      const float* twice_high) {
  if constexpr (V::has_guard) return V::may_leave(before, sums, norms, norm, twice_low, twice_high);
  std::int32_t leaves = 0;
  for (std::size_t i = 0; i < kGuardBlock; ++i) {
    const float sum = 2.0f * static_cast<float>(before[i]) + static_cast<float>(sums[i]);
    const float magnitude = norm * norms[i];
    leaves |= (sum + magnitude > twice_high[i]) | (sum - magnitude < twice_low[i]);
  }
  return leaves != 0;
}

// Adds the sums of a stretch to what was there before where no partial sum can leave; returns the other positions, a bit for each.
template <class V>
inline unsigned add_where_safe(GuardLanes& values, const GuardLanes& sums, std::size_t count, const float* norms, const float* row_norms,
                               const float* twice_low, const float* twice_high) {
  if constexpr (V::has_guard) return V::add_where_safe(values, sums, count, norms, row_norms, twice_low, twice_high);
  unsigned unsafe = 0;
  for (std::size_t row = 0; row < count; ++row) {
    if (may_leave<V>(values[row], sums[row], norms, row_norms[row], twice_low, twice_high)) {
      unsafe |= 1u << row;
    } else {
      for (std::size_t i = 0; i < kGuardBlock; ++i) values[row][i] += sums[row][i];
    }
  }
  return unsafe;
}

// Whether the exact sums of one position and block tell that some partial sum may have left its accumulator.
template <class V>
inline bool is_doubtful(const GuardedRows& r, float norm, std::size_t row, std::size_t first) {
  const Guard& g = *r.guard;
  if (norm * g.largest_norm <= g.room) return false;
  return may_leave<V>(g.bias + first, r.sums + row * g.outputs + first, g.norm + first, norm, g.twice_low + first, g.twice_high + first);
}

// Adds the products of some positions up in order, for the outputs of one block: stretch by stretch where that is safe, else one by one.
// Returns how many of the positions are doubtful; `whole` has their norms.
template <class V, bool bytes>
std::size_t walk_block(const GuardedRows& r, std::size_t block, const std::size_t* rows, std::size_t count, const float* whole) {
  const Guard& g = *r.guard;
  const std::size_t first = block * kGuardBlock;
  const std::uint8_t* inputs[kGuardRows];
  alignas(64) GuardLanes values, some, exact;
  alignas(64) std::int32_t low[kGuardBlock], high[kGuardBlock], bias[kGuardBlock], start_value[kGuardBlock];
  __builtin_memcpy(low, g.low + first, sizeof low);
  __builtin_memcpy(high, g.high + first, sizeof high);
  __builtin_memcpy(bias, g.bias + first, sizeof bias);
  for (std::size_t i = 0; i < kGuardBlock; ++i) start_value[i] = bias[i] < low[i] ? low[i] : bias[i] > high[i] ? high[i] : bias[i];
  for (std::size_t row = 0; row < count; ++row) __builtin_memcpy(values[row], start_value, sizeof start_value);
  if (!r.has_sums) __builtin_memset(exact, 0, sizeof exact);
  for (std::size_t i = 0; i < kGuardRows; ++i) inputs[i] = r.inputs + rows[i < count ? i : 0] * r.input_stride;
  const std::int8_t* weights = g.weights + block * ((g.taps + 3) / 4) * (kGuardBlock * 4);
  for (std::size_t stretch = 0; stretch < g.stretches; ++stretch) {
    const std::size_t start = stretch * kStretch, end = start + kStretch < g.taps ? start + kStretch : g.taps;
    const std::size_t entry = (block * g.stretches + stretch) * kGuardBlock;
    if constexpr (bytes && V::has_guard) {
      V::stretch_sums(inputs, count, weights, g.stretch_correction + entry, start, end, some);
    } else {
      stretch_sums<V, bytes>(inputs, count, weights, start, end, some);
    }
    for (std::size_t row = 0; !r.has_sums && row < count; ++row) {
      for (std::size_t i = 0; i < kGuardBlock; ++i) exact[row][i] += some[row][i];
    }
    float norms[kGuardRows];
    for (std::size_t row = 0; row < count; ++row) norms[row] = r.norms[rows[row] * g.stretches + stretch];
    unsigned unsafe = add_where_safe<V>(values, some, count, g.stretch_norm + entry, norms, g.twice_low + first, g.twice_high + first);
    for (std::size_t row = 0; unsafe != 0; ++row, unsafe >>= 1) {
      if ((unsafe & 1) == 0) continue;
      if constexpr (bytes && V::has_guard) {
        V::add_in_order(inputs[row], weights, start, end, low, high, values[row]);
      } else {
        add_in_order<V, bytes>(inputs[row], weights, start, end, low, high, values[row]);
      }
    }
  }
  std::size_t doubtful = 0;
  for (std::size_t row = 0; row < count; ++row) {
    std::int32_t* sums = r.sums + rows[row] * g.outputs + first;
    if (!r.has_sums) __builtin_memcpy(sums, exact[row], (g.outputs - first < kGuardBlock ? g.outputs - first : kGuardBlock) * sizeof(std::int32_t));
    doubtful += r.has_sums || is_doubtful<V>(r, whole[rows[row]], rows[row], first);
    // unsigned: what lies behind the last output is anything
    alignas(64) std::uint32_t before[kGuardBlock], differences[kGuardBlock];
    __builtin_memcpy(before, sums, sizeof before);
    for (std::size_t i = 0; i < kGuardBlock; ++i) {
      differences[i] = before[i] + static_cast<std::uint32_t>(bias[i]) - static_cast<std::uint32_t>(values[row][i]);
    }
    std::uint32_t any = 0;
    for (std::size_t i = 0; i < kGuardBlock; ++i) any |= differences[i];
    for (std::size_t i = 0; any != 0 && i < kGuardBlock && first + i < g.outputs; ++i) {
      if (differences[i] == 0) continue;
      r.differing[first + i].fetch_add(1, std::memory_order_relaxed);
      sums[i] = values[row][i] - bias[i];
    }
  }
  return doubtful;
}

// Norms of the stretches of a position, with a little more than rounding takes; returns that of all.
template <class V, bool bytes>
inline float find_norms(const std::uint8_t* inputs, const Guard& g, float* norms) {
  std::int32_t squares = 0;
  for (std::size_t stretch = 0; stretch < g.stretches; ++stretch) {
    const std::size_t start = stretch * kStretch, end = start + kStretch < g.taps ? start + kStretch : g.taps;
    std::int32_t some = 0;
    if constexpr (bytes && V::has_guard) {
      some = V::squares(inputs + start, end - start);
    } else {
      for (std::size_t tap = start; tap < end; ++tap) {
        const auto x = static_cast<std::int16_t>(input_at<V, bytes>(inputs, tap));
        some += std::int32_t{x} * std::int32_t{x};
      }
    }
    squares += some;
    norms[stretch] = std::sqrt(static_cast<float>(some)) * 1.00001f;
  }
  return std::sqrt(static_cast<float>(squares)) * 1.00001f;
}

template <class V, bool bytes>
std::size_t guard_rows(const GuardedRows& r) {
  const Guard& g = *r.guard;
  std::size_t doubtful = 0;
  float* whole = r.norms + r.rows * g.stretches;  // of all taps
  float largest = 0;
  for (std::size_t row = 0; row < r.rows; ++row) {
    whole[row] = find_norms<V, bytes>(r.inputs + row * r.input_stride, g, r.norms + row * g.stretches);
    largest = whole[row] > largest ? whole[row] : largest;
  }
  if (r.has_sums && largest * g.largest_norm <= g.room) return 0;
  for (std::size_t block = 0, first = 0; first < g.outputs; ++block, first += kGuardBlock) {
    std::size_t rows[kGuardRows], count = 0;
    for (std::size_t row = 0; row < r.rows; ++row) {
      if (r.has_sums && !is_doubtful<V>(r, whole[row], row, first)) continue;
      rows[count++] = row;
      if (count == kGuardRows) doubtful += walk_block<V, bytes>(r, block, rows, count, whole), count = 0;
    }
    if (count > 0) doubtful += walk_block<V, bytes>(r, block, rows, count, whole);
  }
  return doubtful;
}

template <class V>
std::size_t guard_any(const GuardedRows& r) {
  return r.bytes ? guard_rows<V, true>(r) : guard_rows<V, false>(r);
}
