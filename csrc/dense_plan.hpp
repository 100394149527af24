// What a dense operator needs to run: the way its sums are added up, and its weights in panels.
#pragma once

#include <memory>
#include <vector>

#include "guard.hpp"
#include "mac.hpp"
#include "panels.hpp"

namespace espdl {

// A run of groups whose sums fit 32 bits, for all channels, and how much each counts.
struct Part {
  std::size_t first_group, groups;
  int left_shift;
  std::vector<ChannelPanel> panels;
  std::size_t lane_bytes;                    // of weights, for each lane of the panels
  Aligned<std::uint8_t> weights;
  FinishTable finish;
  std::vector<std::size_t> runs;             // for Store::wrapped: after which group each ends

  std::uint8_t* weights_of(const ChannelPanel& panel) { return weights.data() + panel.lane * lane_bytes; }
  const std::uint8_t* weights_of(const ChannelPanel& panel) const { return weights.data() + panel.lane * lane_bytes; }
};

struct Plan {
  const MacIsa* isa;
  bool bytes;                   // groups of four bytes, else of two words; for Store::wrapped of four words and their high bytes
  Store store;
  std::size_t group_taps, groups, taps, outputs;
  std::vector<Part> parts;
  std::vector<Requantizer> requantizers;     // for Store::sums: of all outputs; where sums are wide, one for each panel
  std::unique_ptr<GuardTables> guard;        // where sums may leave saturating accumulators; then Store::sums
  bool narrow_inputs, narrow_outputs;

  const Tiles& tiles() const { return (bytes ? isa->byte_tiles : isa->word_tiles)[static_cast<int>(store)]; }
  GatherFunction gather() const {
    if (store == Store::wrapped) return isa->gather_wrapped;
    return bytes ? isa->gather_bytes : narrow_inputs ? isa->gather_widened : isa->gather_words;
  }
  std::size_t input_bytes() const { return groups * (store == Store::wrapped ? kWrappedGroupBytes : 4); }  // of a position
  bool is_wide() const { return parts.size() > 1 || parts.front().left_shift > 0; }
  std::size_t planes() const { return store == Store::split ? 2 : parts.size(); }
};

std::shared_ptr<const Plan> make_plan(const Filter& filter, const MacIsa& isa);

}  // namespace espdl
