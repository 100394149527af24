// Multiply-accumulate operators: weights prepared once, bound to images many times.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "aligned.hpp"
#include "mac_isa.hpp"
#include "requantize.hpp"
#include "step.hpp"

namespace espdl {

// The accumulator of an output (runtime spec 3.2): takes `every` products of a tap at a time and keeps within its ends, or wraps.
struct Lane {
  std::int64_t low, high;
  std::size_t every;
  bool wraps;
  // Whether it is nothing but the 64 bits of an exact sum.
  bool is_plain() const { return wraps && high == std::numeric_limits<std::int64_t>::max(); }
};

// A filter and what turns its sums into outputs, as Python has it.
struct Filter {
  std::size_t height, width, channels, outputs;  // a depthwise filter has as many outputs as channels
  bool depthwise;
  std::vector<std::int16_t> weights;             // [height][width][channels][outputs], depthwise [height][width][outputs]
  bool narrow_weights;                           // all of them int8
  bool narrow_inputs, narrow_outputs;            // int8, else int16
  std::vector<std::int64_t> bias, shift;         // one per output
  bool half_even, relu;
  std::vector<std::int32_t> low, high;           // of each output's saturating accumulator; empty where no sum can leave one
  std::vector<Lane> lanes;                       // instead of those: of each output, whatever it is; empty where no sum can leave one
  std::vector<std::int64_t> magnitudes;          // of each output: sum of the magnitudes of its weights

  void add_up_magnitudes();
  // Largest magnitude a sum without bias can have.
  double bound() const;
  // Whether the sums of each output, with bias and half a step, fit 32 bits, and its shift is one of 32-bit vectors.
  bool finishes_in_32_bits() const;
  // Whether the same holds for the sums without their lowest byte, also where the low bytes of weights, signed, are added up apart and
  // carried: what Store::split and Store::wrapped finish.
  bool finishes_split() const;
  std::size_t taps() const { return height * width * (depthwise ? 1 : channels); }
  std::int64_t largest_input() const { return narrow_inputs ? 128 : 32768; }
};

// Parameters of the fused store, one entry per lane of the panels.
struct FinishTable {
  Aligned<std::int32_t> offset, shift, mask;
  std::int32_t low = 0;

  void resize(std::size_t lanes);
  // correction: what the sum holds beside the products.
  void set(std::size_t lane, const Filter& filter, std::size_t output, std::int64_t correction);
  // Of the lane that adds the low bytes up, and of that of the rest (Store::split).
  void set_split(std::size_t low_lane, std::size_t high_lane, const Filter& filter, std::size_t output);
  // Of the lane that adds up what may wrap, and of that of its estimate (Store::wrapped).
  void set_wrapped(std::size_t sum_lane, std::size_t estimate_lane, const Filter& filter, std::size_t output);
  Finish at(std::size_t lane) const { return {&offset[lane], &shift[lane], &mask[lane], low}; }
};

// The same in 64 bits. `fits`: whether every bias and shift is one that these vectors can hold.
struct WideFinishTable {
  Aligned<std::int64_t> offset, shift, mask;
  std::int64_t low = 0;

  static bool fits(const Filter& filter);
  void resize(std::size_t lanes);
  void set(std::size_t lane, const Filter& filter, std::size_t output);
  WideFinish at(std::size_t lane) const { return {&offset[lane], &shift[lane], &mask[lane], low}; }
};

// The two parts of a 16-bit weight: its low byte, signed, and what is left of it, counted in 256.
inline int low_part(int weight) { return static_cast<std::int8_t>(weight & 0xff); }
inline int high_part(int weight) { return (weight - low_part(weight)) / 256; }

class Mac {
 public:
  virtual ~Mac() = default;
  // differing: [outputs], counts the sums that left their accumulator; null where none can.
  // x: [height][width][channels], out: [out_height][out_width][outputs]; int8 table of 256 entries behind the operator, or null.
  virtual std::unique_ptr<Step> bind(const Geometry& geometry, const void* x, void* out, const std::int8_t* table,
                                     std::atomic<std::uint32_t>* differing) const = 0;
};

// Without regard to `lanes`.
std::unique_ptr<Mac> make_dense(const Filter& filter, const MacIsa& isa);
std::unique_ptr<Mac> make_depthwise(const Filter& filter, const MacIsa& isa);
// With them: the same, and then again in the chip's order whatever may have left its accumulator.
std::unique_ptr<Mac> make_dense_lanes(const Filter& filter, const MacIsa& isa);
std::unique_ptr<Mac> make_depthwise_lanes(const Filter& filter, const MacIsa& isa);

// Multiply-accumulates that take about a nanosecond, to decide whether other threads are worth waking.
inline constexpr double kMacsPerNanosecond = 150;

inline std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }
inline std::size_t round_up(std::size_t a, std::size_t b) { return divide_up(a, b) * b; }

}  // namespace espdl
