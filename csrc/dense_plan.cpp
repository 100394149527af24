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

// Last tap of each run in which no channel's sum can leave 32 bits, even with `others` largest inputs more, runs ending at whole groups;
// `part` gives a weight's part. Empty where a single group can.
template <typename WeightPart>
std::vector<std::size_t> safe_runs(const Filter& filter, std::size_t group_taps, WeightPart part, std::int64_t others = 0) {
  const std::int64_t limit = 0x7fffffff / filter.largest_input() - others;
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
  part.panels = channel_panels(isa, filter.outputs, planes, isa.vectors);
  const std::size_t lanes = isa.lanes;
  const std::size_t all_lanes = part.panels.back().lane + static_cast<std::size_t>(part.panels.back().vectors) * lanes;
  part.lane_bytes = part.groups * 4;
  part.weights.assign(all_lanes * part.lane_bytes, 0);
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

// The high byte of a 16-bit weight, of which little is left, and what the estimate of a sum with it can lack for the largest input.
int high_byte(int weight) { return std::min((weight + 128) >> 8, 127); }
int estimate_error(int weight) { return std::abs(weight - 256 * high_byte(weight)) + std::abs(high_byte(weight)); }

// Last tap of each run of Store::wrapped. An input x is 256 * byte + 127.5 + e with |e| <= 127.5, a weight w is 256 * high + r, so that
//   x * w = 65536 * byte * high + 256 * 127.5 * high + 256 * e * high + x * r.
// The estimate has the first two terms, so it lacks at most 32768 * (|high| + |r|) a tap, beside three roundings to units of 65536 at most:
// of what came before the run, downwards (less than 65536), and of the sum of the second terms (at most 32768). That is three largest inputs.
std::vector<std::size_t> wrapped_runs(const Filter& filter) { return safe_runs(filter, 4, estimate_error, 3); }

void pack_wrapped(const Filter& filter, const Plan& plan, Part& part) {
  const MacIsa& isa = *plan.isa;
  const std::size_t lanes = isa.lanes, outputs = filter.outputs;
  part.panels = channel_panels(isa, outputs, 2, kMaxVectors);
  const std::size_t all_lanes = part.panels.back().lane + static_cast<std::size_t>(part.panels.back().vectors) * lanes;
  // half the lanes are those of channels, each with three groups of four bytes, and an int32 for each run
  part.lane_bytes = 4 * (3 * part.groups + part.runs.size()) / 2;
  part.weights.assign(all_lanes * part.lane_bytes, 0);
  part.finish.resize(all_lanes);
  for (const ChannelPanel& panel : part.panels) {
    const std::size_t width = static_cast<std::size_t>(panel.vectors) / 2 * lanes;
    for (std::size_t channel = 0; channel < panel.channels; ++channel) {
      const std::size_t n = panel.first + channel;
      std::uint8_t* vectors = part.weights_of(panel);
      std::size_t group = 0;
      for (const std::size_t end : part.runs) {
        std::uint8_t* const start = vectors + 4 * channel;
        std::int64_t sum = 0;
        for (vectors += 4 * width; group < end; ++group, vectors += 3 * 4 * width) {
          for (std::size_t i = 0; i < 4; ++i) {
            const std::size_t tap = 4 * group + i;
            if (tap >= plan.taps) break;
            const std::int16_t weight = filter.weights[tap * outputs + n];
            const int high = high_byte(weight);
            sum += high;
            std::memcpy(vectors + i / 2 * 4 * width + isa.place(false, channel, i % 2 * 2), &weight, 2);
            vectors[2 * 4 * width + isa.place(true, channel, i)] = static_cast<std::uint8_t>(high);
          }
        }
        // 127.5 / 256 of it, rounded, and without what bytes count too much
        const auto offset = static_cast<std::int32_t>(((255 * sum + 256) >> 9) - isa.byte_zero * sum);
        std::memcpy(start, &offset, 4);
      }
      const std::size_t entry = panel.lane + channel;
      part.finish.set_wrapped(entry, entry + width, filter, n);
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
      plan->store = isa.gather_wrapped != nullptr && !filter.narrow_inputs ? Store::wrapped : Store::split;
      if (plan->store == Store::wrapped) {
        plan->group_taps = 4;
        plan->groups = divide_up(plan->taps, plan->group_taps);
      }
      split = true;
      plan->parts.clear();
      Part part{};
      part.groups = plan->groups;
      plan->parts.push_back(std::move(part));
    }
  }
  if (plan->store == Store::wrapped) {
    Part& part = plan->parts.front();
    for (const std::size_t end : wrapped_runs(filter)) part.runs.push_back(divide_up(end, plan->group_taps));
    pack_wrapped(filter, *plan, part);
    return plan;
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
