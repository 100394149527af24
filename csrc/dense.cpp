// Convolution and linear operators: a product of matrices over blocks of output positions.
#include <algorithm>
#include <cstring>

#include "dense_plan.hpp"
#include "lookup.hpp"

namespace espdl {

namespace {

constexpr std::size_t kPanelBytes = 24 << 10;   // of gathered inputs: they stay in the first cache beside the weights
constexpr std::size_t kSumBytes = 128 << 10;    // of sums that are not finished at once
constexpr std::size_t kBlockRows = 24;          // a multiple of the heights of tall tiles

class DenseStep : public Step {
 public:
  DenseStep(std::shared_ptr<const Plan> plan, const Geometry& geometry, const void* x, void* out, const std::int8_t* table,
            std::atomic<std::uint32_t>* differing)
      : plan_(std::move(plan)), geometry_(geometry), x_(x), out_(out), table_(table), differing_(differing) {
    positions_ = geometry.out_height * geometry.out_width;
    stride_ = plan_->input_bytes();
    nanoseconds_ = static_cast<double>(positions_) * stride_ * plan_->outputs / kMacsPerNanosecond * plan_->planes();
    rows_ = std::max(kPanelBytes / stride_, kBlockRows);
    if (plan_->store == Store::sums && !plan_->is_wide()) rows_ = std::min(rows_, std::max(kSumBytes / (4 * plan_->outputs), std::size_t{1}));
    rows_ = std::min({rows_, std::size_t{480}, positions_});
    // blocks of about equal height: each reads all weights, a last one of a few rows as well
    rows_ = divide_up(positions_, divide_up(positions_, rows_));
  }

  void run(Pool& pool) override {
    const std::size_t threads = nanoseconds_ > kSplitAboveNanoseconds ? pool.threads() : 1;
    if (threads == 1) {
      for (std::size_t first = 0; first < positions_; first += rows_) block(first, std::min(rows_, positions_ - first), 0, 1);
      return;
    }
    // at least four pieces for each thread, of rows first, then of channels too
    const std::size_t wanted = 6 * threads;
    std::size_t rows = rows_;
    if (divide_up(positions_, rows) < wanted) {
      rows = std::clamp(round_up(divide_up(positions_, wanted), kBlockRows), std::min(kBlockRows, rows_), rows_);
    }
    const std::size_t blocks = divide_up(positions_, rows);
    std::size_t sides = 1;
    if ((plan_->store != Store::sums || plan_->is_wide()) && blocks < wanted) sides = std::min(divide_up(wanted, blocks), plan_->parts[0].panels.size());
    pool.parallel_for(blocks * sides, [&](std::size_t piece) {
      const std::size_t first = piece / sides * rows;
      block(first, std::min(rows, positions_ - first), piece % sides, sides);
    });
  }

 private:
  // Output positions [first, first + count), of the panels the part that is number `side` of `sides`.
  void block(std::size_t first, std::size_t count, std::size_t side, std::size_t sides) const {
    const std::size_t panels = plan_->parts.front().panels.size();
    const std::size_t begin = panels * side / sides, end = panels * (side + 1) / sides;
    if (plan_->store != Store::sums) {
      finished_block(first, count, begin, end);
    } else if (plan_->is_wide()) {
      wide_block(first, count, begin, end);
    } else {
      sums_block(first, count);
    }
  }

  std::size_t panel_bytes(std::size_t count) const { return round_up((count + kMaxRows) * stride_ + 64, 64); }
  std::size_t output_size() const { return plan_->narrow_outputs ? 1 : 2; }
  std::byte* output(std::size_t position) const { return static_cast<std::byte*>(out_) + position * plan_->outputs * output_size(); }

  void finished_block(std::size_t first, std::size_t count, std::size_t begin, std::size_t end) const {
    const Plan& plan = *plan_;
    auto* inputs = reinterpret_cast<std::uint8_t*>(scratch(panel_bytes(count)));
    plan.gather()(geometry_, x_, first, count, inputs, stride_);
    const Part& part = plan.parts.front();
    for (std::size_t p = begin; p < end; ++p) {
      const ChannelPanel& panel = part.panels[p];
      multiply(part, panel, inputs, count, output(first) + panel.first * output_size(), plan.outputs, output_size());
    }
    if (table_ != nullptr) look_up(first, count, part.panels[begin].first, part.panels[end - 1].first + part.panels[end - 1].channels);
  }

  // Sums of all outputs, watched where they may leave an accumulator, then finished.
  void sums_block(std::size_t first, std::size_t count) const {
    const Plan& plan = *plan_;
    const std::size_t sum_bytes = round_up(count * plan.outputs * 4, 64);
    const std::size_t norm_bytes = plan.guard != nullptr ? count * (divide_up(plan.taps, kStretch) + 1) * sizeof(float) : 0;
    auto* inputs = reinterpret_cast<std::uint8_t*>(scratch(panel_bytes(count) + sum_bytes + norm_bytes));
    auto* sums = reinterpret_cast<std::int32_t*>(inputs + panel_bytes(count));
    plan.gather()(geometry_, x_, first, count, inputs, stride_);
    const Part& part = plan.parts.front();
    // where most blocks of sums had to be found in the chip's order just now, the exact ones are not computed before
    const bool crowded = plan.guard != nullptr && crowded_.load(std::memory_order_relaxed);
    if (!crowded) {
      for (const ChannelPanel& panel : part.panels) multiply(part, panel, inputs, count, sums + panel.first, plan.outputs, 4);
    }
    if (plan.guard != nullptr) {
      auto* norms = reinterpret_cast<float*>(inputs + panel_bytes(count) + sum_bytes);
      const std::size_t doubtful = plan.isa->guard({&plan.guard->guard(), inputs, stride_, count, plan.bytes, norms, sums, differing_, !crowded});
      crowded_.store(2 * doubtful > count * divide_up(plan.outputs, kGuardBlock), std::memory_order_relaxed);
    }
    if (plan.narrow_outputs) {
      plan.requantizers.front().run(sums, reinterpret_cast<std::int8_t*>(output(first)), count);
      if (table_ != nullptr) look_up(first, count, 0, plan.outputs);
    } else {
      plan.requantizers.front().run(sums, reinterpret_cast<std::int16_t*>(output(first)), count);
    }
  }

  // Sums of several parts, panel by panel.
  void wide_block(std::size_t first, std::size_t count, std::size_t begin, std::size_t end) const {
    const Plan& plan = *plan_;
    const std::size_t most = count * static_cast<std::size_t>(plan.isa->vectors * plan.isa->lanes);
    auto* inputs = reinterpret_cast<std::uint8_t*>(scratch(panel_bytes(count) + most * (4 + 8 + 2)));
    auto* total = reinterpret_cast<std::int64_t*>(inputs + panel_bytes(count));
    auto* sums = reinterpret_cast<std::int32_t*>(total + most);
    auto* done = reinterpret_cast<std::byte*>(sums + most);
    plan.gather()(geometry_, x_, first, count, inputs, stride_);
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t channels = plan.parts.front().panels[p].channels;
      for (const Part& part : plan.parts) {
        multiply(part, part.panels[p], inputs, count, sums, channels, 4);
        plan.isa->accumulate(sums, count * channels, part.left_shift, &part == &plan.parts.front(), total);
      }
      if (plan.narrow_outputs) {
        plan.requantizers[p].run(total, reinterpret_cast<std::int8_t*>(done), count);
      } else {
        plan.requantizers[p].run(total, reinterpret_cast<std::int16_t*>(done), count);
      }
      const std::size_t bytes = channels * output_size(), start = plan.parts.front().panels[p].first;
      for (std::size_t row = 0; row < count; ++row) std::memcpy(output(first + row) + start * output_size(), done + row * bytes, bytes);
      if (table_ != nullptr) look_up(first, count, start, start + channels);
    }
  }

  // out: the panel's first channel of the first position; `size` bytes an element, `out_stride` elements from one position to the next.
  void multiply(const Part& part, const ChannelPanel& panel, const std::uint8_t* inputs, std::size_t count, void* out, std::size_t out_stride,
                std::size_t size) const {
    const Tile tile{inputs + part.first_group * 4,
                    stride_,
                    part.weights_of(panel),
                    part.groups,
                    part.finish.at(panel.lane),
                    out,
                    out_stride,
                    0,
                    panel.channels,
                    part.runs.data()};
    run_tiles(*plan_->isa, plan_->tiles(), panel.vectors, tile, count, size);
  }

  // Outputs [from, to) of some positions through the table.
  void look_up(std::size_t first, std::size_t count, std::size_t from, std::size_t to) const {
    auto* out = reinterpret_cast<std::int8_t*>(output(first));
    if (to - from == plan_->outputs) return lookup8(table_, out, out, count * plan_->outputs);
    for (std::size_t row = 0; row < count; ++row, out += plan_->outputs) lookup8(table_, out + from, out + from, to - from);
  }

  std::shared_ptr<const Plan> plan_;
  Geometry geometry_;
  const void* x_;
  void* out_;
  const std::int8_t* table_;
  std::atomic<std::uint32_t>* differing_;
  std::size_t positions_, stride_, rows_;
  mutable std::atomic<bool> crowded_{false};
  double nanoseconds_;
};

class Dense : public Mac {
 public:
  explicit Dense(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)) {}
  std::unique_ptr<Step> bind(const Geometry& geometry, const void* x, void* out, const std::int8_t* table,
                             std::atomic<std::uint32_t>* differing) const override {
    return std::make_unique<DenseStep>(plan_, geometry, x, out, table, differing);
  }

 private:
  std::shared_ptr<const Plan> plan_;
};

}  // namespace

std::unique_ptr<Mac> make_dense(const Filter& filter, const MacIsa& isa) { return std::make_unique<Dense>(make_plan(filter, isa)); }

}  // namespace espdl
