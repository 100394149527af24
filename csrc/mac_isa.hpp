// The inner loops of multiply-accumulate operators, as one table of functions per instruction set.
//
// A product of matrices is computed tile by tile: `rows` output positions by a panel of `nv` vectors of output channels. The inputs of a
// position lie in groups of four bytes (four bytes or two 16-bit values), and so do the weights of a channel: the inner loop broadcasts a
// group of each position against a vector of groups of channels. Sums are int32 and wrap: only their final value must fit.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "isa.hpp"

namespace espdl {

// What becomes of the sums of a tile. For `split`, half the vectors of a panel are the low bytes of 16-bit weights, signed, and the other
// half what is left of them, which counts 256: two sums become one int16. For `wrapped`, half of them are sums of 16-bit weights that may
// wrap, and the other half estimates that tell how often they did, which count 65536: those two become one int16 as well.
enum class Store { int8, int16, sums, split, wrapped };
inline constexpr int kStores = 5;

// Groups of two low bytes whose sum, with less than a byte in front of it, cannot leave 32 bits.
inline constexpr std::size_t kCarryGroups = 240;

// Bytes of a group of Store::wrapped: four words and the high bytes of all four.
inline constexpr std::size_t kWrappedGroupBytes = 12;

// One entry per channel, in the order of the panel's lanes. A sum that holds its offset becomes (sum >> shift), its lowest bit cleared
// where (sum & mask) == 0, at least `low`, saturated: offset holds half a step, so that the mask of half-even rounding finds the ties; a
// mask of -1 finds only the sum 0, to which clearing a bit does nothing. For `split` the entries of the high vectors are those of the sum
// without its low byte, which counts as part of the tie; the low vectors have an offset only. For `wrapped` those of the estimates are that
// too, and the sums have an offset only.
struct Finish {
  const std::int32_t* offset;
  const std::int32_t* shift;
  const std::int32_t* mask;
  std::int32_t low;
};

struct Tile {
  const std::uint8_t* inputs;    // first position
  std::size_t input_stride;      // bytes from one position to the next
  const std::uint8_t* weights;   // [groups][nv][lanes] groups of four bytes
  std::size_t groups;
  Finish finish;
  void* out;                     // first channel of the first position
  std::size_t out_stride;        // elements from one position to the next
  std::size_t rows;              // positions to be stored, at most those of the tile
  std::size_t channels;          // channels to be stored, at most those of the panel
  // Store::wrapped has groups of four words, and the inputs of a position are followed by the high bytes of them all, plus byte_zero.
  // weights: of each run [nv / 2][lanes] int32 to be added to the estimates, then [groups][3][nv / 2][lanes] groups of four bytes: of the
  // first two words, of the last two, and of the high bytes of all four.
  const std::size_t* runs = nullptr;  // after which group each ends
};
using TileFunction = void (*)(const Tile&);

inline constexpr int kMaxRows = 12;
inline constexpr int kMaxVectors = 4;

// Tiles of one kind by number of vectors and of rows; null where that size is not made.
struct Tiles {
  TileFunction of[kMaxVectors + 1][kMaxRows + 1] = {};
};

// How a filter moves over an image.
struct Geometry {
  std::size_t height, width, channels;        // of the image
  std::size_t out_height, out_width;
  std::size_t kernel_height, kernel_width;
  std::size_t stride_y, stride_x, dilation_y, dilation_x;
  std::size_t top, left;                      // zeros in front of the image
  bool is_pointwise() const {
    return kernel_height == 1 && kernel_width == 1 && stride_y == 1 && stride_x == 1 && top == 0 && left == 0 &&
           out_height == height && out_width == width;
  }
};

// Copies the inputs of the positions [first, first + count) next to each other: for each one its values in the order row, column, channel,
// and zeros where the filter looks beyond the image. Writes up to 64 bytes beyond the last position.
using GatherFunction = void (*)(const Geometry& g, const void* image, std::size_t first, std::size_t count, std::uint8_t* panel,
                                std::size_t panel_stride);

// One row of outputs of a depthwise operator over int8, from rows of bytes plus byte_zero that hold their borders. Filter rows are taken
// four at a time.
struct DepthwiseRow {
  const std::uint8_t* const* rows;  // [row_groups][4], of the filter's rows; any others behind the last
  std::size_t row_groups, channels;
  std::size_t columns;              // outputs
  std::size_t kernel_width, stride, dilation;
  const std::uint8_t* weights;      // [blocks][kernel_width][row_groups][4][lanes] groups of the four rows' weights
  Finish finish;                    // [blocks][4][lanes]
  std::int8_t* out;
};
// Channel of the block of 4 * lanes, of a lane of one of the four vectors.
inline constexpr int byte_order(int vector, int lane) { return 16 * (lane / 4) + 4 * vector + lane % 4; }

// One row of outputs of a depthwise operator over 16-bit values, from rows that hold their borders. Where 32-bit sums do not do, weights
// are split into two planes, the first of which counts 1 and the second 256. Their sums are finished together: in 32 bits as
// second + (first >> 8) where that fits and 8 bits at least are shifted out, else in 64 bits.
enum class WordSums { one, pair, wide };
struct WideFinish {
  const std::int64_t *offset, *shift, *mask;  // [blocks][2][lanes]; see Finish
  std::int64_t low;
};
struct DepthwiseWords {
  const std::int16_t* const* taps;   // of each weight: where it reads the first channel for the first output; an even number
  std::size_t pairs;                 // of taps
  std::size_t channels, columns, stride;
  const std::uint8_t* weights;       // [blocks][pairs][planes][2][lanes] groups of the pair's two weights
  Finish finish;                     // one, pair: [blocks][2][lanes]; pair: an offset below 256, shift and mask without 8 bits
  const std::int32_t* second_offset; // pair: what the second plane's sums start with
  WideFinish wide;
  void* out;
};
// Channel of the block of 2 * lanes, of a lane of the first or second vector.
inline constexpr int word_order(int vector, int lane) { return 8 * (lane / 4) + 4 * vector + lane % 4; }

// Sums of one row of outputs of any depthwise operator, weights [kernel_height * kernel_width][channels].
struct DepthwiseSums {
  const void* const* rows;       // of the filter's rows, with their borders
  std::size_t channels, columns, kernel_height, kernel_width, stride, dilation;
  const std::int16_t* weights;
  void* sums;                    // [columns][channels]
};

// Accumulators that saturate at every step (runtime spec 3.2). The arrays have one entry per output, rounded up to whole blocks of
// kGuardBlock; outputs that cannot leave their accumulator have limits that nothing reaches.
inline constexpr std::size_t kGuardBlock = 16;
inline constexpr std::size_t kStretch = 192;   // products that are proved safe together
inline constexpr std::size_t kGuardRows = 8; // positions that are added up together
struct Guard {
  std::size_t taps, outputs, stretches;
  const std::int8_t* weights;                 // [blocks][taps / 4, rounded up][kGuardBlock][4]
  const std::int32_t* stretch_correction;     // [blocks][stretches][kGuardBlock]: 128 times the sum of the stretch's weights
  const float* stretch_norm;                  // [blocks][stretches][kGuardBlock]
  const std::int32_t *bias, *low, *high;      // low, high: of the accumulator
  const float* norm;                          // square root of the sum of the squares of an output's weights
  const float *twice_low, *twice_high;        // the same limits, with room for the rounding of what is compared with them
  float largest_norm, room;                   // room: that every accumulator has beside its bias
};
struct GuardedRows {
  const Guard* guard;
  const std::uint8_t* inputs;                 // as for tiles
  std::size_t input_stride, rows;
  bool bytes;
  float* norms;                               // [rows][stretches + 1], scratch
  std::int32_t* sums;                         // [rows][outputs], without bias, readable to a whole block; those that left are replaced
  std::atomic<std::uint32_t>* differing;      // [outputs], counts those that were
  bool has_sums;                              // whether they are there yet; else all are found in the chip's order
};

// Sums added up one product after the other in the chip's order, in accumulators of any kind (runtime spec 3.2), kStrip outputs at a time.
// Int has room for every value on the way, except that of saturating accumulators of 64 bits.
inline constexpr std::size_t kStrip = 16;
template <typename Int>
struct LaneStrip {
  const std::int32_t* weights;                // [products][kStrip]
  const Int *bias, *start;                    // [kStrip] each; start: the bias as the accumulator holds it
  const Int *low, *high;                      // of saturating accumulators; any far ones for others
  const Int* saturates;                       // not 0 where the accumulator does
  const int* wrap_shift;                      // bits of an Int above the accumulator, where it wraps; null: nowhere any
  bool is_widest;                             // low and high are those of Int
};
template <typename Int>
struct DepthwiseWalk {
  LaneStrip<Int> strip;
  const std::int32_t* inputs;                 // [kernel_height] rows of [columns under the outputs][kStrip], with their borders
  std::size_t row_stride;                     // from one row to the next
  std::size_t columns, kernel_height, kernel_width, stride, dilation;
  Int* sums;                                  // [columns][kStrip], with bias
  std::uint32_t* counts;                      // [kStrip] grows by the number of sums that are not the exact ones
};
template <typename Int>
struct DenseWalk {
  LaneStrip<Int> strip;
  const std::uint8_t* inputs;                 // as for tiles of words
  std::size_t input_stride;
  const std::uint32_t* positions;             // [count] whose sums are wanted
  std::size_t count, taps, channels;          // taps: of the filter, each of so many products
  const std::size_t* every;                   // [kinds] products of a tap that are added exactly before they are added to the accumulator
  std::size_t kinds;
  const Int* kind;                            // [kStrip] which of them the output has
  Int* sums;                                  // [count][kStrip], with bias
  std::uint32_t* counts;
};

struct MacIsa {
  Isa isa;
  int lanes;                     // int32 of a vector
  int vectors;                   // of the widest panel; kMaxVectors for Store::wrapped, whose estimates read other inputs than its sums
  bool bytes;                    // whether int8 is multiplied as such; else it is widened first
  int byte_zero;                 // what is added to bytes before they are multiplied: 128 where that takes unsigned inputs, else 0
  bool bytes_apart, words_apart; // whether a vector holds the first halves of all its groups, then the second halves
  int rows[kMaxVectors + 1];     // of the tallest tile, by number of vectors
  Tiles byte_tiles[kStores];     // by Store; bytes plus byte_zero against int8
  Tiles word_tiles[kStores];     // int16 against int16
  // Channel, counted from the panel's first, of every lane of a panel of nv vectors, for Store::int8. The other stores keep the order.
  int (*int8_order)(int nv, int vector, int lane);
  GatherFunction gather_bytes;   // int8 to bytes plus byte_zero
  GatherFunction gather_widened; // int8 to int16
  GatherFunction gather_words;   // int16
  GatherFunction gather_wrapped; // int16, for Store::wrapped; null: without its tiles
  void (*depthwise_row)(const DepthwiseRow&);   // null: as words
  void (*depthwise_words[2][3])(const DepthwiseWords&);  // to int16 and to int8, by WordSums; null: by sums
  void (*depthwise_sums8)(const DepthwiseSums&);      // int8 inputs, int32 sums
  void (*depthwise_sums16)(const DepthwiseSums&);     // int16 inputs, int32 sums
  void (*depthwise_sums16_wide)(const DepthwiseSums&);  // int16 inputs, int64 sums
  std::size_t (*guard)(const GuardedRows&);  // returns how many blocks of sums might have left their accumulators, of one position each
  void (*walk_depthwise32)(const DepthwiseWalk<std::int32_t>&);
  void (*walk_depthwise64)(const DepthwiseWalk<std::int64_t>&);
  void (*walk_dense32)(const DenseWalk<std::int32_t>&);
  void (*walk_dense64)(const DenseWalk<std::int64_t>&);
  // total[i] = sums[i] * 2**left_shift where it is the first, else that added to it.
  void (*accumulate)(const std::int32_t* sums, std::size_t size, int left_shift, bool is_first, std::int64_t* total);
  // Multiply-accumulates of one instruction after another on registers, as many as it returns: what the CPU can do at most.
  double (*dots)(std::size_t rounds);
  // Copies bytes, flipping the highest bit of each: int8 to bytes plus 128.
  void (*flip)(const void* source, std::uint8_t* target, std::size_t size);
  // Copies int8 as int16.
  void (*widen)(const void* source, std::int16_t* target, std::size_t size);

  // Where byte `at` of the group of a lane lies in vectors that follow one another.
  std::size_t place(bool of_bytes, std::size_t lane, std::size_t at) const {
    const std::size_t width = static_cast<std::size_t>(lanes), within = lane % width, start = (lane - within) * 4;
    return start + ((of_bytes ? bytes_apart : words_apart) ? at / 2 * 2 * width + 2 * within + at % 2 : 4 * within + at);
  }
};

extern const MacIsa kMacBaseline;
#if ESPDL_X86
extern const MacIsa kMacAvx2, kMacAvxVnni, kMacAvx512, kMacAvx512Vnni;
#endif
#if ESPDL_ARM64
extern const MacIsa kMacNeon, kMacDotprod;
#endif

inline const MacIsa& mac_isa(Isa isa) {
#if ESPDL_X86
  switch (isa) {
    case Isa::avx2: return kMacAvx2;
    case Isa::avxvnni: return kMacAvxVnni;
    case Isa::avx512: return kMacAvx512;
    case Isa::avx512vnni: return kMacAvx512Vnni;
    default: break;
  }
#endif
#if ESPDL_DOTPROD
  if (isa == Isa::dotprod) return kMacDotprod;
#endif
#if ESPDL_ARM64
  if (isa == Isa::neon) return kMacNeon;
#endif
  static_cast<void>(isa);
  return kMacBaseline;
}

}  // namespace espdl
