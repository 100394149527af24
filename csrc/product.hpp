// Products of matrices of which both are computed: the right ones are packed at every run.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "mac.hpp"
#include "panels.hpp"

namespace espdl {

// An accumulator that sums of the columns [start, stop) may leave. It saturates after every `every` products, or wraps at the end.
struct ColumnLane {
  std::size_t start, stop;
  std::int64_t low, high;
  std::size_t every;
  bool saturates;
};

// Where the elements of a column lie in a right matrix: the first one, and how far on the next one is.
struct Column {
  std::size_t start, step;
};

struct Product {
  std::size_t rows, depth, columns;
  bool narrow_left, narrow_right, narrow_outputs;          // int8, else int16
  std::vector<std::pair<std::size_t, std::size_t>> pairs;  // of each result matrix: its left and its right one
  std::vector<Column> order;                               // one per column
  std::vector<std::int64_t> shift;                         // one per column
  bool half_even, relu;
  std::vector<ColumnLane> lanes;
};

// a: [lefts][rows][depth], b: [rights][depth * columns] in the product's order, out: [pairs][rows][columns].
// differing: [columns], counts the sums that left their accumulator; null where the product has no lanes.
std::unique_ptr<Step> make_product(Product product, const MacIsa& isa, const void* a, const void* b, void* out,
                                   std::atomic<std::uint32_t>* differing);

// A right matrix as tiles read it.
struct PackedShape {
  std::size_t depth, groups, vector_lanes;
  int planes;                        // 2: 16-bit weights in two parts, the second of which counts 256
  std::vector<ChannelPanel> panels;
  std::vector<std::size_t> channel;  // of every lane, kNoChannel where it has none
  std::size_t plane_bytes;
  bool is_apart;                     // MacIsa::bytes_apart or words_apart

  static constexpr std::size_t kNoChannel = ~std::size_t{0};
  std::size_t panel_at(const ChannelPanel& panel) const { return panel.lane * groups * 4; }
  std::size_t lanes_of(const ChannelPanel& panel) const { return vector_lanes * static_cast<std::size_t>(panel.vectors); }
};

// Fills one panel of all planes. Lanes without a channel and groups behind the last tap get zeros.
void pack_panel(const PackedShape& shape, const std::vector<Column>& order, const ChannelPanel& panel, const void* matrix, bool narrow,
                bool bytes, std::uint8_t* target);

// Columns that lie next to each other: their elements of one row follow one another.
struct ColumnRun {
  std::size_t first, count, start, step;
};

// Finds the sums that leave their accumulators, and what comes out of those.
class LaneWatch {
 public:
  explicit LaneWatch(const Product& product);
  bool is_needed() const { return !product_.lanes.empty(); }
  // Sums of the magnitudes of the columns [first, last) of a right matrix, into magnitudes[first] and on.
  void add_up(const void* matrix, std::size_t first, std::size_t last, std::int64_t* magnitudes) const;
  // The largest input that keeps every sum inside.
  std::int64_t safe_input(const std::int64_t* magnitudes) const;
  // Puts the chip's result in the place of every exact one of `count` rows whose sum left its accumulator. x: the rows; out: their results;
  // memory: scratch_bytes(count).
  void correct(const void* x, const void* matrix, const std::int64_t* magnitudes, std::int64_t safe, std::size_t count, void* out,
               std::byte* memory, std::atomic<std::uint32_t>* differing) const;
  std::size_t scratch_bytes(std::size_t count) const;

 private:
  template <typename Left, typename Right>
  void correct_as(const Left* x, const Right* matrix, const std::int64_t* magnitudes, std::int64_t safe, std::size_t count, void* out,
                  std::byte* memory, std::atomic<std::uint32_t>* differing) const;
  void store(std::int64_t sum, std::size_t column, std::size_t at, void* out) const;

  const Product& product_;
  std::vector<ColumnRun> runs_;
};

}  // namespace espdl
