// A right matrix, in whatever order it lies in memory, into panels.
#include <cstring>

#include "product.hpp"

namespace espdl {

namespace {

// The bytes of four channels in four rows, channel by channel.
inline void transpose4(const std::int8_t* source, std::size_t step, std::uint8_t* target) {
  std::uint32_t a, b, c, d;
  std::memcpy(&a, source, 4);
  std::memcpy(&b, source + step, 4);
  std::memcpy(&c, source + 2 * step, 4);
  std::memcpy(&d, source + 3 * step, 4);
  constexpr std::uint32_t kEven = 0x00ff00ff;
  const std::uint32_t even_ab = (a & kEven) | (b & kEven) << 8, odd_ab = (a >> 8 & kEven) | (b & ~kEven);
  const std::uint32_t even_cd = (c & kEven) | (d & kEven) << 8, odd_cd = (c >> 8 & kEven) | (d & ~kEven);
  const std::uint32_t channels[4] = {(even_ab & 0xffff) | even_cd << 16, (odd_ab & 0xffff) | odd_cd << 16,
                                     even_ab >> 16 | (even_cd & 0xffff0000), odd_ab >> 16 | (odd_cd & 0xffff0000)};
  std::memcpy(target, channels, sizeof channels);
}

// Groups [first, groups) of one lane, four bytes each.
void pack_bytes(const std::int8_t* source, std::size_t step, std::size_t first, std::size_t groups, std::size_t depth, std::uint8_t* target,
                std::size_t stride) {
  for (std::size_t group = first; group < groups; ++group) {
    for (std::size_t tap = 4 * group; tap < depth && tap < 4 * group + 4; ++tap) {
      target[group * stride + tap % 4] = static_cast<std::uint8_t>(source[tap * step]);
    }
  }
}

// Four lanes of neighbouring columns; false where they do not lie side by side.
bool pack_quad(const Column* order, const std::int8_t* matrix, std::size_t depth, std::uint8_t* target, std::size_t stride) {
  const std::size_t step = order[0].step;
  for (std::size_t i = 1; i < 4; ++i) {
    if (order[i].step != step || order[i].start != order[0].start + i) return false;
  }
  const std::int8_t* source = matrix + order[0].start;
  std::size_t group = 0;
  for (; 4 * group + 4 <= depth; ++group) transpose4(source + 4 * group * step, step, target + group * stride);
  for (std::size_t i = 0; i < 4; ++i) pack_bytes(source + i, step, group, divide_up(depth, 4), depth, target + 4 * i, stride);
  return true;
}

// One lane of 16-bit weights, in one plane or in two.
template <typename In, int planes>
void pack_words(const In* source, std::size_t step, std::size_t depth, std::uint8_t* target, std::size_t stride, std::size_t plane_bytes) {
  for (std::size_t tap = 0; tap < depth; tap += 2) {
    std::int16_t ones[2], many[2];
    for (std::size_t i = 0; i < 2; ++i) {
      const int weight = tap + i < depth ? int{source[(tap + i) * step]} : 0;
      const int low = planes == 1 ? weight : low_part(weight);
      ones[i] = static_cast<std::int16_t>(low);
      many[i] = static_cast<std::int16_t>((weight - low) / 256);
    }
    std::memcpy(target + tap / 2 * stride, ones, 4);
    if constexpr (planes == 2) std::memcpy(target + tap / 2 * stride + plane_bytes, many, 4);
  }
}

// Brings the first two bytes of all groups of each vector in front of the last two.
void separate(std::uint8_t* vectors, std::size_t bytes, std::size_t lanes) {
  std::uint8_t vector[64];
  for (std::size_t at = 0; at < bytes; at += 4 * lanes) {
    std::memcpy(vector, vectors + at, 4 * lanes);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      std::memcpy(vectors + at + 2 * lane, vector + 4 * lane, 2);
      std::memcpy(vectors + at + 2 * lanes + 2 * lane, vector + 4 * lane + 2, 2);
    }
  }
}

}  // namespace

void pack_panel(const PackedShape& shape, const std::vector<Column>& order, const ChannelPanel& panel, const void* matrix, bool narrow,
                bool bytes, std::uint8_t* target) {
  const std::size_t lanes = shape.lanes_of(panel), stride = 4 * lanes, depth = shape.depth;
  std::uint8_t* const start = target;
  const auto plane_at = [&](int plane) { return start + static_cast<std::size_t>(plane) * shape.plane_bytes; };
  if (shape.is_apart) {
    // what was separated before lies elsewhere
    for (int plane = 0; plane < shape.planes; ++plane) std::memset(plane_at(plane), 0, shape.groups * stride);
  }
  for (std::size_t lane = 0; lane < lanes; ++lane, target += 4) {
    const std::size_t* channel = &shape.channel[panel.lane + lane];
    if (*channel == PackedShape::kNoChannel) continue;
    const Column& column = order[*channel];
    if (bytes) {
      const auto* source = static_cast<const std::int8_t*>(matrix);
      // lanes come in fours of neighbouring channels on every instruction set; only the last four of a panel may be incomplete
      const bool four = lane % 4 == 0 && lane + 4 <= lanes && channel[3] == channel[0] + 3;
      if (four && pack_quad(&column, source, depth, target, stride)) {
        lane += 3;
        target += 12;
        continue;
      }
      source += column.start;
      std::size_t group = 0;
      if (column.step == 1) {
        for (; 4 * group + 4 <= depth; ++group) std::memcpy(target + group * stride, source + 4 * group, 4);
      }
      pack_bytes(source, column.step, group, shape.groups, depth, target, stride);
    } else if (narrow) {
      pack_words<std::int8_t, 1>(static_cast<const std::int8_t*>(matrix) + column.start, column.step, depth, target, stride, 0);
    } else {
      const auto* source = static_cast<const std::int16_t*>(matrix) + column.start;
      (shape.planes == 1 ? pack_words<std::int16_t, 1> : pack_words<std::int16_t, 2>)(source, column.step, depth, target, stride,
                                                                                       shape.plane_bytes);
    }
  }
  if (!shape.is_apart) return;
  for (int plane = 0; plane < shape.planes; ++plane) {
    separate(plane_at(plane), shape.groups * stride, shape.vector_lanes);
  }
}

}  // namespace espdl
