// Products in accumulators that saturate or wrap (runtime spec 3.2). What cannot leave one by the magnitudes of its row and its column is
// exact already; the rest is added up in the chip's order.
#include <algorithm>
#include <cstdlib>
#include <limits>

#include "product.hpp"
#include "requantize.hpp"
#include "vectorize.hpp"

namespace espdl {

namespace {

constexpr std::size_t kBlock = 16;          // columns added up together
constexpr std::size_t kNarrowTaps = 32768;  // magnitudes of 16-bit values that fit 32 bits together

// Magnitudes of the columns of a run: of `count` of them from `source` on.
struct AddMagnitudes {
  template <typename T>
  ESPDL_INLINE void operator()(const T* source, std::size_t step, std::size_t depth, std::size_t count, std::int64_t* totals) const {
    for (std::size_t i = 0; i < count; ++i) totals[i] = 0;
    for (std::size_t start = 0; start < depth; start += kNarrowTaps) {
      const std::size_t end = std::min(depth, start + kNarrowTaps);
      std::int32_t sums[64] = {};
      if (count == 1) {
        std::int32_t sum = 0;
        for (std::size_t k = start; k < end; ++k) sum += source[k * step] < 0 ? -std::int32_t{source[k * step]} : source[k * step];
        sums[0] = sum;
      } else {
        for (std::size_t k = start; k < end; ++k) {
          const T* row = source + k * step;
          for (std::size_t i = 0; i < count; ++i) sums[i] += row[i] < 0 ? -std::int32_t{row[i]} : row[i];
        }
      }
      for (std::size_t i = 0; i < count; ++i) totals[i] += sums[i];
    }
  }
};

// Largest magnitude and sum of the magnitudes of a row.
struct RowMagnitudes {
  template <typename T>
  ESPDL_INLINE void operator()(const T* row, std::size_t depth, std::int64_t* largest, std::int64_t* sum) const {
    std::int32_t most = 0;
    std::int64_t total = 0;
    for (std::size_t k = 0; k < depth; ++k) {
      const std::int32_t magnitude = row[k] < 0 ? -std::int32_t{row[k]} : row[k];
      most = magnitude > most ? magnitude : most;
      total += magnitude;
    }
    *largest = most;
    *sum = total;
  }
};

// One row times a block of columns [depth][kBlock]: exact sums, and those of an accumulator that saturates after `every` products.
template <typename Sum>
struct Walk {
  template <typename Left>
  ESPDL_INLINE void operator()(const Left* x, const std::int16_t* weights, std::size_t depth, std::size_t every, Sum low, Sum high,
                               Sum* exact_sums, Sum* chip_sums) const {
    Sum exact[kBlock] = {}, chip[kBlock] = {};
    for (std::size_t start = 0; start < depth; start += every) {
      const std::size_t end = std::min(depth, start + every);
      Sum term[kBlock] = {};
      for (std::size_t k = start; k < end; ++k) {
        const std::int32_t value = x[k];
        for (std::size_t i = 0; i < kBlock; ++i) term[i] += value * weights[k * kBlock + i];
      }
      for (std::size_t i = 0; i < kBlock; ++i) {
        exact[i] += term[i];
        const Sum next = chip[i] + term[i];
        const Sum raised = next < low ? low : next;
        chip[i] = raised > high ? high : raised;
      }
    }
    for (std::size_t i = 0; i < kBlock; ++i) {
      exact_sums[i] = exact[i];
      chip_sums[i] = chip[i];
    }
  }
};

// Two's-complement value of an exact sum in an accumulator of those ends.
std::int64_t wrapped(std::int64_t sum, std::int64_t low, std::int64_t high) {
  const auto start = static_cast<std::uint64_t>(low), range = static_cast<std::uint64_t>(high) - start;
  return static_cast<std::int64_t>(start + ((static_cast<std::uint64_t>(sum) - start) & range));
}

template <typename Sum, typename Left>
void add_in_order(const Left* x, const std::int16_t* weights, std::size_t depth, const ColumnLane& lane, std::int64_t* exact,
                  std::int64_t* chip) {
  Sum exact_sums[kBlock], chip_sums[kBlock];
  vectorized(Walk<Sum>{}, x, weights, depth, lane.every, static_cast<Sum>(lane.low), static_cast<Sum>(lane.high), &exact_sums[0],
             &chip_sums[0]);
  for (std::size_t i = 0; i < kBlock; ++i) {
    exact[i] = exact_sums[i];
    chip[i] = lane.saturates ? std::int64_t{chip_sums[i]} : wrapped(exact_sums[i], lane.low, lane.high);
  }
}

}  // namespace

LaneWatch::LaneWatch(const Product& product) : product_(product) {
  for (std::size_t n = 0; n < product.order.size(); ++n) {
    const Column& column = product.order[n];
    if (!runs_.empty() && runs_.back().step == column.step && runs_.back().start + runs_.back().count == column.start) {
      ++runs_.back().count;
    } else {
      runs_.push_back({n, 1, column.start, column.step});
    }
  }
}

void LaneWatch::add_up(const void* matrix, std::size_t first, std::size_t last, std::int64_t* magnitudes) const {
  for (const ColumnRun& run : runs_) {
    for (std::size_t n = std::max(first, run.first); n < std::min(last, run.first + run.count);) {
      const std::size_t count = std::min({last - n, run.first + run.count - n, std::size_t{64}}), at = run.start + (n - run.first);
      if (product_.narrow_right) {
        vectorized(AddMagnitudes{}, static_cast<const std::int8_t*>(matrix) + at, run.step, product_.depth, count, magnitudes + n);
      } else {
        vectorized(AddMagnitudes{}, static_cast<const std::int16_t*>(matrix) + at, run.step, product_.depth, count, magnitudes + n);
      }
      n += count;
    }
  }
}

std::int64_t LaneWatch::safe_input(const std::int64_t* magnitudes) const {
  std::int64_t safe = std::numeric_limits<std::int64_t>::max();
  for (const ColumnLane& lane : product_.lanes) {
    for (std::size_t n = lane.start; n < lane.stop; ++n) {
      if (magnitudes[n] > 0) safe = std::min(safe, lane.high / magnitudes[n]);
    }
  }
  return safe;
}

std::size_t LaneWatch::scratch_bytes(std::size_t count) const {
  return is_needed() ? round_up(2 * count * sizeof(std::int64_t) + product_.depth * kBlock * sizeof(std::int16_t), 64) : 0;
}

void LaneWatch::correct(const void* x, const void* matrix, const std::int64_t* magnitudes, std::int64_t safe, std::size_t count, void* out,
                        std::byte* memory, std::atomic<std::uint32_t>* differing) const {
  using Narrow = const std::int8_t*;
  using Full = const std::int16_t*;
  const bool left = product_.narrow_left, right = product_.narrow_right;
  if (left && right) {
    correct_as(static_cast<Narrow>(x), static_cast<Narrow>(matrix), magnitudes, safe, count, out, memory, differing);
  } else if (left) {
    correct_as(static_cast<Narrow>(x), static_cast<Full>(matrix), magnitudes, safe, count, out, memory, differing);
  } else if (right) {
    correct_as(static_cast<Full>(x), static_cast<Narrow>(matrix), magnitudes, safe, count, out, memory, differing);
  } else {
    correct_as(static_cast<Full>(x), static_cast<Full>(matrix), magnitudes, safe, count, out, memory, differing);
  }
}

template <typename Left, typename Right>
void LaneWatch::correct_as(const Left* x, const Right* matrix, const std::int64_t* magnitudes, std::int64_t safe, std::size_t count,
                           void* out, std::byte* memory, std::atomic<std::uint32_t>* differing) const {
  const std::size_t depth = product_.depth, columns = product_.columns;
  auto* largest = reinterpret_cast<std::int64_t*>(memory);
  auto* sums = largest + count;
  auto* weights = reinterpret_cast<std::int16_t*>(sums + count);
  std::int64_t most = 0;
  for (std::size_t row = 0; row < count; ++row) {
    vectorized(RowMagnitudes{}, x + row * depth, depth, largest + row, sums + row);
    most = std::max(most, largest[row]);
  }
  if (most <= safe) return;
  const bool fits_32_bits = product_.narrow_left && product_.narrow_right && depth < (std::size_t{1} << 16);
  for (const ColumnLane& lane : product_.lanes) {
    for (std::size_t first = lane.start; first < lane.stop; first += kBlock) {
      const std::size_t size = std::min(kBlock, lane.stop - first);
      const std::int64_t column_sum = *std::max_element(magnitudes + first, magnitudes + first + size);
      if (column_sum == 0 || most <= lane.high / column_sum) continue;
      std::int64_t heaviest = 0;
      for (std::size_t i = 0; i < kBlock; ++i) {
        const Column column = product_.order[first + std::min(i, size - 1)];
        for (std::size_t k = 0; k < depth; ++k) {
          const std::int16_t weight = matrix[column.start + k * column.step];
          weights[k * kBlock + i] = weight;
          heaviest = std::max(heaviest, std::int64_t{std::abs(int{weight})});
        }
      }
      for (std::size_t row = 0; row < count; ++row) {
        if (std::min(largest[row] * column_sum, sums[row] * heaviest) <= lane.high) continue;
        std::int64_t exact[kBlock], chip[kBlock];
        if (fits_32_bits && lane.high < (std::int64_t{1} << 30)) {
          add_in_order<std::int32_t>(x + row * depth, weights, depth, lane, exact, chip);
        } else {
          add_in_order<std::int64_t>(x + row * depth, weights, depth, lane, exact, chip);
        }
        for (std::size_t i = 0; i < size; ++i) {
          if (chip[i] == exact[i]) continue;
          differing[first + i].fetch_add(1, std::memory_order_relaxed);
          store(chip[i], first + i, row * columns + first + i, out);
        }
      }
    }
  }
}

void LaneWatch::store(std::int64_t sum, std::size_t column, std::size_t at, void* out) const {
  const std::int64_t value = shift_and_round(sum, product_.shift[column], product_.half_even);
  const std::int64_t low = product_.relu ? 0 : product_.narrow_outputs ? -128 : -32768;
  if (product_.narrow_outputs) {
    static_cast<std::int8_t*>(out)[at] = static_cast<std::int8_t>(std::clamp<std::int64_t>(value, low, 127));
  } else {
    static_cast<std::int16_t*>(out)[at] = static_cast<std::int16_t>(std::clamp<std::int64_t>(value, low, 32767));
  }
}

}  // namespace espdl
