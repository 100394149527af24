// Copies that give values another place: strided to strided, and by index (Concat, Split, Slice, Transpose, Pad, Resize nearest, ...).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

namespace espdl {

// Runs of a few bytes are common (channels of a pixel), and memcpy of an unknown length is slow for them.
inline void copy_run(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (bytes > 32) {
    std::memcpy(to, from, bytes);
  } else if (bytes >= 16) {
    std::byte head[16], tail[16];
    std::memcpy(head, from, 16);
    std::memcpy(tail, from + bytes - 16, 16);
    std::memcpy(to, head, 16);
    std::memcpy(to + bytes - 16, tail, 16);
  } else if (bytes >= 8) {
    std::uint64_t head, tail;
    std::memcpy(&head, from, 8);
    std::memcpy(&tail, from + bytes - 8, 8);
    std::memcpy(to, &head, 8);
    std::memcpy(to + bytes - 8, &tail, 8);
  } else {
    for (std::size_t i = 0; i < bytes; ++i) to[i] = from[i];
  }
}

// One element of 1, 2, 4 or 8 bytes after the other. Every second index of `to` may be far from the first.
template <typename Element>
void copy_elements(std::byte* to, std::ptrdiff_t to_step, const std::byte* from, std::ptrdiff_t from_step, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    Element value;
    std::memcpy(&value, from + static_cast<std::ptrdiff_t>(i) * from_step, sizeof value);
    std::memcpy(to + static_cast<std::ptrdiff_t>(i) * to_step, &value, sizeof value);
  }
}

inline void copy_elements(std::size_t size, std::byte* to, std::ptrdiff_t to_step, const std::byte* from, std::ptrdiff_t from_step,
                          std::size_t count) {
  if (size == 1) return copy_elements<std::uint8_t>(to, to_step, from, from_step, count);
  if (size == 2) return copy_elements<std::uint16_t>(to, to_step, from, from_step, count);
  if (size == 4) return copy_elements<std::uint32_t>(to, to_step, from, from_step, count);
  copy_elements<std::uint64_t>(to, to_step, from, from_step, count);
}

// A block of elements from one strided place to another of the same shape; the two do not overlap.
class Move {
 public:
  struct Axis {
    std::size_t extent;
    std::ptrdiff_t to, from;  // bytes from one index to the next
  };

  // Axes in any order; element: bytes of one, 1, 2, 4 or 8.
  Move(std::byte* to, const std::byte* from, std::vector<Axis> axes, std::size_t element) : to_(to), from_(from), element_(element) {
    std::erase_if(axes, [](const Axis& axis) { return axis.extent == 1; });
    std::stable_sort(axes.begin(), axes.end(), [](const Axis& a, const Axis& b) { return std::abs(a.to) > std::abs(b.to); });
    for (const Axis& axis : axes) {
      const auto extent = static_cast<std::ptrdiff_t>(axis.extent);
      if (!axes_.empty() && axes_.back().to == axis.to * extent && axes_.back().from == axis.from * extent) {
        axes_.back() = {axes_.back().extent * axis.extent, axis.to, axis.from};
      } else {
        axes_.push_back(axis);
      }
    }
    const auto size = static_cast<std::ptrdiff_t>(element);
    run_ = element;
    if (!axes_.empty() && axes_.back().to == size && axes_.back().from == size) {
      run_ = element * axes_.back().extent;
      axes_.pop_back();
    }
    bytes_ = run_;
    for (const Axis& axis : axes_) bytes_ *= axis.extent;
    transposes_ = run_ == element && axes_.size() >= 2 && axes_.back().to == size;
    if (transposes_) {
      // The axis that is contiguous in the source goes next to the one that is contiguous in the target.
      const auto inner = std::min_element(axes_.begin(), axes_.end() - 1,
                                          [](const Axis& a, const Axis& b) { return std::abs(a.from) < std::abs(b.from); });
      std::rotate(inner, inner + 1, axes_.end() - 1);
    }
    while (axes_.size() < 2) axes_.insert(axes_.begin(), Axis{1, 0, 0});
  }

  std::size_t bytes() const { return bytes_; }
  // Indices of all but the last two axes, times blocks of the last but one.
  std::size_t tiles() const {
    std::size_t result = blocks();
    for (std::size_t axis = 0; axis + 2 < axes_.size(); ++axis) result *= axes_[axis].extent;
    return result;
  }
  double nanoseconds() const {
    return static_cast<double>(bytes_) * 0.05 + static_cast<double>(bytes_ / run_) * (transposes_ ? 0.5 : run_ == element_ ? 1 : 4);
  }

  void run(std::size_t first, std::size_t last) const {
    for (std::size_t tile = first; tile < last; ++tile) {
      std::size_t rest = tile / blocks();
      std::ptrdiff_t to = 0, from = 0;
      for (std::size_t axis = axes_.size() - 2; axis-- > 0;) {
        const auto index = static_cast<std::ptrdiff_t>(rest % axes_[axis].extent);
        rest /= axes_[axis].extent;
        to += index * axes_[axis].to;
        from += index * axes_[axis].from;
      }
      const Axis& outer = axes_[axes_.size() - 2];
      const std::size_t start = tile % blocks() * kBlock, stop = std::min(start + kBlock, outer.extent);
      copy_block(to_ + to, from_ + from, start, stop);
    }
  }

 private:
  static constexpr std::size_t kBlock = 64;

  std::size_t blocks() const { return (axes_[axes_.size() - 2].extent + kBlock - 1) / kBlock; }

  void copy_block(std::byte* to, const std::byte* from, std::size_t start, std::size_t stop) const {
    const Axis& outer = axes_[axes_.size() - 2];
    const Axis& inner = axes_.back();
    // A transposition reads lines of the source and writes lines of the target: both stay in the cache for a square.
    const std::size_t width = transposes_ ? kBlock : inner.extent;
    for (std::size_t column = 0; column < inner.extent; column += width) {
      const std::size_t count = std::min(width, inner.extent - column);
      for (std::size_t row = start; row < stop; ++row) {
        std::byte* target = to + static_cast<std::ptrdiff_t>(row) * outer.to + static_cast<std::ptrdiff_t>(column) * inner.to;
        const std::byte* source = from + static_cast<std::ptrdiff_t>(row) * outer.from + static_cast<std::ptrdiff_t>(column) * inner.from;
        if (run_ == element_) {
          copy_elements(element_, target, inner.to, source, inner.from, count);
        } else {
          for (std::size_t i = 0; i < count; ++i, target += inner.to, source += inner.from) copy_run(target, source, run_);
        }
      }
    }
  }

  std::byte* to_;
  const std::byte* from_;
  std::vector<Axis> axes_;
  std::size_t element_, run_, bytes_;
  bool transposes_;
};

// Fills a target and then copies into it, one move after the other.
class Moves {
 public:
  struct Fill {
    std::byte* to = nullptr;
    std::size_t count = 0, element = 1;
    const std::byte* value = nullptr;  // of one element, or none
  };

  Moves(std::vector<Move> moves, Fill fill, bool in_order) : moves_(std::move(moves)), fill_(fill), in_order_(in_order) {
    if (in_order_ || fill_.value != nullptr) return;
    for (const Move& move : moves_) tiles_ = std::max(tiles_, move.tiles());
  }

  std::size_t tiles() const { return tiles_; }
  double nanoseconds() const {
    double result = static_cast<double>(fill_.count * fill_.element) * 0.02;
    for (const Move& move : moves_) result += move.nanoseconds();
    return result;
  }

  void run(std::size_t first, std::size_t last) const {
    if (in_order_ || fill_.value != nullptr) {
      if (fill_.value != nullptr) fill();
      for (const Move& move : moves_) move.run(0, move.tiles());
      return;
    }
    // the same stretch of every move: where they are interleaved, one thread writes what lies together
    for (const Move& move : moves_) move.run(first * move.tiles() / tiles_, last * move.tiles() / tiles_);
  }

 private:
  void fill() const {
    const bool same = std::all_of(fill_.value, fill_.value + fill_.element, [&](std::byte b) { return b == fill_.value[0]; });
    if (same) {
      std::memset(fill_.to, static_cast<int>(fill_.value[0]), fill_.count * fill_.element);
    } else {
      copy_elements(fill_.element, fill_.to, static_cast<std::ptrdiff_t>(fill_.element), fill_.value, 0, fill_.count);
    }
  }

  std::vector<Move> moves_;
  Fill fill_;
  bool in_order_;
  std::size_t tiles_ = 1;
};

// out[i, j, ...] = x[index_0[i], index_1[j], ...], for contiguous arrays.
class Gather {
 public:
  // One list of indices per axis of x; element: bytes of one.
  Gather(const std::byte* x, std::byte* out, const std::vector<std::size_t>& shape, std::vector<std::vector<std::size_t>> index,
         std::size_t element)
      : x_(x), out_(out), index_(std::move(index)), element_(element) {
    from_.assign(shape.size(), element);
    to_.assign(shape.size(), element);
    for (std::size_t axis = shape.size() - 1; axis-- > 0;) {
      from_[axis] = from_[axis + 1] * shape[axis + 1];
      to_[axis] = to_[axis + 1] * index_[axis + 1].size();
    }
    // The last axes that are copied whole become runs.
    whole_ = shape.size();
    while (whole_ > 0 && is_whole(index_[whole_ - 1], shape[whole_ - 1])) --whole_;
    run_ = whole_ < shape.size() ? to_[whole_] * index_[whole_].size() : element;
    // Tiles are indices of the first axis that has several.
    split_ = 0;
    while (split_ + 1 < whole_ && index_[split_].size() == 1) ++split_;
  }

  std::size_t tiles() const { return whole_ == 0 ? 1 : index_[split_].size(); }
  double nanoseconds() const {
    const double bytes = static_cast<double>(to_[0] * index_[0].size());
    return bytes * 0.05 + bytes / static_cast<double>(run_) * 4;
  }

  void run(std::size_t first, std::size_t last) const {
    std::size_t from = 0;
    for (std::size_t axis = 0; axis < split_; ++axis) from += index_[axis][0] * from_[axis];
    gather(split_, x_ + from, out_, first, last);
  }

 private:
  static bool is_whole(const std::vector<std::size_t>& index, std::size_t extent) {
    if (index.size() != extent) return false;
    for (std::size_t i = 0; i < extent; ++i) {
      if (index[i] != i) return false;
    }
    return true;
  }

  void gather(std::size_t axis, const std::byte* x, std::byte* out, std::size_t first, std::size_t last) const {
    if (axis >= whole_) return copy_run(out, x, run_);
    const std::vector<std::size_t>& index = index_[axis];
    const std::size_t from = from_[axis], to = to_[axis];
    if (axis + 1 == whole_) {
      for (std::size_t i = first; i < last; ++i) copy_run(out + i * to, x + index[i] * from, run_);
      return;
    }
    for (std::size_t i = first; i < last; ++i) {
      // A row that is needed again right away is copied whole.
      if (i > first && index[i] == index[i - 1]) {
        std::memcpy(out + i * to, out + (i - 1) * to, to);
      } else {
        gather(axis + 1, x + index[i] * from, out + i * to, 0, index_[axis + 1].size());
      }
    }
  }

  const std::byte* x_;
  std::byte* out_;
  std::vector<std::vector<std::size_t>> index_;
  std::vector<std::size_t> from_, to_;
  std::size_t element_, run_, whole_, split_;
};

}  // namespace espdl
