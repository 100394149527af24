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
  int vectors;                  // of weights
  std::size_t lane;             // its first lane, counted over all panels
};

// planes: of weights, each with vectors of its own beside those of the others. widest: vectors of a panel at most.
inline std::vector<ChannelPanel> channel_panels(const MacIsa& isa, std::size_t outputs, int planes, int widest) {
  const std::size_t lanes = isa.lanes, vectors = divide_up(outputs, lanes), count = divide_up(vectors, widest / planes);
  std::vector<ChannelPanel> panels;
  for (std::size_t i = 0, first = 0; i < count; ++i) {
    const std::size_t next = vectors * (i + 1) / count, channel = first * lanes;
    panels.push_back({channel, std::min((next - first) * lanes, outputs - channel), static_cast<int>(next - first) * planes, channel * planes});
    first = next;
  }
  return panels;
}

// Computes `rows` positions of one panel. tile: as for the first position; `size` bytes an element of its output.
inline void run_tiles(const MacIsa& isa, const Tiles& tiles, int vectors, Tile tile, std::size_t rows, std::size_t size) {
  const TileFunction* functions = tiles.of[vectors];
  // tiles of about equal height rather than tall ones and a low one
  for (std::size_t left = rows, pieces = divide_up(rows, isa.rows[vectors]); left > 0; left -= tile.rows, --pieces) {
    tile.rows = divide_up(left, pieces);
    std::size_t height = tile.rows;
    while (functions[height] == nullptr) ++height;
    functions[height](tile);
    tile.inputs += tile.rows * tile.input_stride;
    tile.out = static_cast<std::byte*>(tile.out) + tile.rows * tile.out_stride * size;
  }
}

}  // namespace espdl
