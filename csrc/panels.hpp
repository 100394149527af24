// Panels of output channels, and the tiles that fill them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "mac.hpp"

namespace espdl {

// Output channels computed together.
struct ChannelPanel {
  std::size_t first, channels;  // outputs
  int vectors;
  std::size_t lane;             // its first lane, counted over all panels
};

inline std::vector<ChannelPanel> channel_panels(const MacIsa& isa, std::size_t outputs) {
  const std::size_t lanes = isa.lanes, vectors = divide_up(outputs, lanes), count = divide_up(vectors, isa.vectors);
  std::vector<ChannelPanel> panels;
  for (std::size_t i = 0, first = 0; i < count; ++i) {
    const std::size_t next = vectors * (i + 1) / count, lane = first * lanes;
    panels.push_back({lane, std::min((next - first) * lanes, outputs - lane), static_cast<int>(next - first), lane});
    first = next;
  }
  return panels;
}

// Computes `rows` positions of one panel. tile: as for the first position; `size` bytes an element of its output.
inline void run_tiles(const MacIsa& isa, const Tiles& tiles, int vectors, Tile tile, std::size_t rows, std::size_t size) {
  const TileFunction* functions = tiles.of[vectors];
  // tiles of equal height rather than tall ones and a low one
  std::size_t height = divide_up(rows, divide_up(rows, isa.rows[vectors]));
  while (functions[height] == nullptr) ++height;
  for (std::size_t row = 0; row < rows; row += height) {
    tile.rows = std::min(height, rows - row);
    functions[height](tile);
    tile.inputs += height * tile.input_stride;
    tile.out = static_cast<std::byte*>(tile.out) + height * tile.out_stride * size;
  }
}

}  // namespace espdl
