// Weights of dense operators into panels, once the way their sums are added up is chosen.
#include "dense_plan.hpp"

#include <algorithm>
#include <cstring>

namespace espdl {

namespace {

// The part of a 16-bit weight that counts 2**8, or what is left of it; without a split the weight itself.
int weight_part(int weight, bool split, int left_shift) {
  if (!split) return weight;
  return left_shift > 0 ? high_part(weight) : low_part(weight);
}

// Last tap of each run in which no channel's sum can leave 32 bits, runs ending at whole groups; `part` gives a weight's part. Empty where
// a single group can.
template <typename Part>
std::vector<std::size_t> safe_runs(const Filter& filter, std::size_t group_taps, Part part) {
  const std::int64_t limit = 0x7fffffff / filter.largest_input();
  const std::size_t taps = filter.taps(), outputs = filter.outputs;
  std::vector<std::size_t> ends;
  std::vector<std::int64_t> sums(outputs, 0), group(outputs, 0);
  for (std::size_t start = 0; start < taps; start += group_taps) {
    std::fill(group.begin(), group.end(), 0);
    for (std::size_t tap = start; tap < std::min(start + group_taps, taps); ++tap) {
      for (std::size_t n = 0; n < outputs; ++n) group[n] += std::abs(part(filter.weights[tap * outputs + n]));
    }
    bool full = false, impossible = false;
    for (std::size_t n = 0; n < outputs; ++n) {
      full |= (sums[n] += group[n]) > limit;
      impossible |= group[n] > limit;
    }
    if (impossible) return {};
    if (full && start > 0) {
      ends.push_back(start);
      sums = group;
    }
  }
  ends.push_back(taps);
  return ends;
}

void pack_part(const Filter& filter, const Plan& plan, Part& part, bool split) {
  const MacIsa& isa = *plan.isa;
  const int planes = plan.store == Store::split ? 2 : 1;
  part.panels = channel_panels(isa, filter.outputs, planes);
  const std::size_t lanes = isa.lanes;
  const std::size_t all_lanes = part.panels.back().lane + static_cast<std::size_t>(part.panels.back().vectors) * lanes;
  part.weights.assign(all_lanes * part.groups * 4, 0);
  part.finish.resize(all_lanes);
  for (const ChannelPanel& panel : part.panels) {
    std::uint8_t* target = part.weights_of(panel);
    const int high = planes == 2 ? panel.vectors / 2 : panel.vectors;  // first of the second plane
    for (int v = 0; v < panel.vectors; ++v) {
      const int left_shift = v >= high ? 8 : part.left_shift;
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const std::size_t within =
            plan.store == Store::int8 ? isa.int8_order(panel.vectors, v, static_cast<int>(lane)) : v % high * lanes + lane;
        const std::size_t n = panel.first + within;
        if (n >= filter.outputs) continue;
        std::int64_t sum = 0;
        for (std::size_t group = 0; group < part.groups; ++group) {
          std::uint8_t* vector = target + (group * panel.vectors + v) * lanes * 4;
          for (std::size_t i = 0; i < plan.group_taps; ++i) {
            const std::size_t tap = (part.first_group + group) * plan.group_taps + i;
            if (tap >= plan.taps) break;
            const int weight = weight_part(filter.weights[tap * filter.outputs + n], split, left_shift);
            sum += weight;
            if (plan.bytes) {
              vector[isa.place(true, lane, i)] = static_cast<std::uint8_t>(weight);
            } else {
              const auto word = static_cast<std::int16_t>(weight);
              std::memcpy(vector + isa.place(false, lane, 2 * i), &word, 2);
            }
          }
        }
        const std::int64_t correction = plan.bytes ? -isa.byte_zero * sum : 0;  // what bytes count too much
        const std::size_t entry = panel.lane + v * lanes + lane;
        if (plan.store == Store::sums) {
          part.finish.offset[entry] = static_cast<std::int32_t>(static_cast<std::uint32_t>(correction));
        } else if (planes == 2) {
          if (v < high) part.finish.set_split(entry, entry + high * lanes, filter, n);
        } else {
          part.finish.set(entry, filter, n, correction);
        }
      }
    }
  }
}

}  // namespace

std::shared_ptr<const Plan> make_plan(const Filter& filter, const MacIsa& isa) {
  auto plan = std::make_shared<Plan>();
  plan->isa = &isa;
  plan->bytes = isa.bytes && filter.narrow_inputs && filter.narrow_weights;
  plan->group_taps = plan->bytes ? 4 : 2;
  plan->taps = filter.taps();
  plan->outputs = filter.outputs;
  plan->groups = divide_up(plan->taps, plan->group_taps);
  plan->narrow_inputs = filter.narrow_inputs;
  plan->narrow_outputs = filter.narrow_outputs;

  auto runs = safe_runs(filter, plan->group_taps, [](int w) { return w; });
  std::vector<std::size_t> high_runs;
  bool split = false;
  if (runs.empty() || (runs.size() > 2 && !filter.narrow_weights)) {
    auto low_runs = safe_runs(filter, plan->group_taps, low_part);
    high_runs = safe_runs(filter, plan->group_taps, high_part);
    split = runs.empty() || low_runs.size() + high_runs.size() < runs.size();
    if (split) runs = std::move(low_runs);
  }
  const auto add_parts = [&](const std::vector<std::size_t>& ends, int left_shift) {
    std::size_t start = 0;
    for (const std::size_t end : ends) {
      Part part{};
      part.first_group = start / plan->group_taps;
      part.groups = divide_up(end, plan->group_taps) - part.first_group;
      part.left_shift = left_shift;
      plan->parts.push_back(std::move(part));
      start = end;
    }
  };
  add_parts(runs, 0);
  if (split) add_parts(high_runs, 8);

  const Store wanted = filter.narrow_outputs ? Store::int8 : Store::int16;
  plan->store = wanted;
  if (!filter.low.empty()) plan->guard = std::make_unique<GuardTables>(filter);
  if (plan->guard != nullptr || plan->parts.size() > 1 || !filter.finishes_in_32_bits() || plan->tiles().of[1][1] == nullptr) {
    plan->store = Store::sums;
    const bool may_split = plan->parts.size() > 1 && !filter.narrow_weights && !filter.narrow_outputs && plan->guard == nullptr;
    if (may_split && isa.word_tiles[static_cast<int>(Store::split)].of[2][1] != nullptr && filter.finishes_split()) {
      plan->store = Store::split;
      split = true;
      plan->parts.clear();
      plan->parts.push_back({0, plan->groups, 0, {}, {}, {}});
    }
  }
  for (Part& part : plan->parts) pack_part(filter, *plan, part, split);
  if (plan->store != Store::sums) return plan;
  const auto add_requantizer = [&](std::size_t first, std::size_t count) {
    const auto slice = [&](const std::vector<std::int64_t>& all) {
      return std::vector<std::int64_t>(all.begin() + static_cast<std::ptrdiff_t>(first), all.begin() + static_cast<std::ptrdiff_t>(first + count));
    };
    plan->requantizers.emplace_back(slice(filter.bias), slice(filter.shift), count, filter.half_even, filter.relu, filter.bound());
  };
  if (plan->is_wide()) {
    for (const ChannelPanel& panel : plan->parts.front().panels) add_requantizer(panel.first, panel.channels);
  } else {
    add_requantizer(0, filter.outputs);
  }
  return plan;
}

}  // namespace espdl
