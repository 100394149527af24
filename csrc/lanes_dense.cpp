// Convolution and linear operators with accumulators that the guard of int8 sums does not have. The fast kernel goes first; then those
// positions are done again, a strip of outputs at a time, for which the norms do not prove that every partial sum stayed inside: none is
// larger than the norm of the inputs times that of the weights (Cauchy and Schwarz).
#include "lanes.hpp"
#include "vectorize.hpp"

namespace espdl {

namespace {

constexpr std::size_t kPanelBytes = 24 << 10;  // of gathered inputs

// The largest norm of inputs for which no sum of a strip can leave its accumulator.
std::vector<double> safe_norms(const Filter& f) {
  std::vector<double> norms(divide_up(f.outputs, kStrip), std::numeric_limits<double>::infinity());
  for (std::size_t n = 0; n < f.outputs; ++n) {
    const Room room(f.lanes[n], f.bias[n]);
    double squares = 0;
    for (std::size_t tap = 0; tap < f.taps(); ++tap) {
      const double weight = f.weights[tap * f.outputs + n];
      squares += weight * weight;
    }
    const double least = std::min(room.up, room.down), norm = std::sqrt(squares) * (1 + 0x1p-40);
    const double safe = least < 0 ? -1 : norm > 0 ? least / norm : std::numeric_limits<double>::infinity();
    norms[n / kStrip] = std::min(norms[n / kStrip], safe);
  }
  return norms;
}

struct SquaresOf {
  ESPDL_INLINE void operator()(const std::int16_t* x, std::size_t size, std::int64_t* result) const {
    std::int64_t squares = 0;
    for (std::size_t i = 0; i < size; ++i) squares += std::int32_t{x[i]} * std::int32_t{x[i]};
    *result = squares;
  }
};

template <typename Int>
struct LanePlan {
  const MacIsa* isa;
  std::size_t taps, outputs, stride;          // stride: bytes from one gathered position to the next
  bool narrow_inputs, narrow_outputs;
  LaneTables<Int> tables;
  std::vector<double> norms;                  // of each strip, see safe_norms
  std::vector<std::vector<std::size_t>> every;  // of each strip
  Aligned<Int> kind;                          // of each output

  LanePlan(const Filter& f, const MacIsa& table)
      : isa(&table),
        taps(f.taps()),
        outputs(f.outputs),
        stride(round_up(taps * 2, 4)),
        narrow_inputs(f.narrow_inputs),
        narrow_outputs(f.narrow_outputs),
        tables(f),
        norms(safe_norms(f)),
        every(tables.strips()),
        kind(tables.strips() * kStrip, 0) {
    for (std::size_t n = 0; n < f.outputs; ++n) {
      auto& known = every[n / kStrip];
      const auto found = std::find(known.begin(), known.end(), f.lanes[n].every);
      kind[n] = static_cast<Int>(found - known.begin());
      if (found == known.end()) known.push_back(f.lanes[n].every);
    }
  }
  GatherFunction gather() const { return narrow_inputs ? isa->gather_widened : isa->gather_words; }
  auto walk() const {
    if constexpr (sizeof(Int) == 4) {
      return isa->walk_dense32;
    } else {
      return isa->walk_dense64;
    }
  }
};

template <typename Int>
class LaneStep : public Step {
 public:
  LaneStep(std::shared_ptr<const LanePlan<Int>> plan, std::unique_ptr<Step> fast, const Geometry& geometry, const void* x, void* out,
           const std::int8_t* table, std::atomic<std::uint32_t>* differing)
      : plan_(std::move(plan)),
        fast_(std::move(fast)),
        g_(geometry),
        x_(x),
        out_(static_cast<std::byte*>(out)),
        table_(table),
        differing_(differing),
        positions_(g_.out_height * g_.out_width),
        rows_(std::min(std::max(kPanelBytes / plan_->stride, std::size_t{8}), positions_)) {
    nanoseconds_ = static_cast<double>(positions_) * plan_->taps * plan_->outputs / (kMacsPerNanosecond / 16);
  }

  void run(Pool& pool) override {
    fast_->run(pool);
    const std::size_t blocks = divide_up(positions_, rows_);
    auto work = [&](std::size_t i) { block(i * rows_, std::min(rows_, positions_ - i * rows_)); };
    if (nanoseconds_ > kSplitAboveNanoseconds) return pool.parallel_for(blocks, work);
    for (std::size_t i = 0; i < blocks; ++i) work(i);
  }

 private:
  void block(std::size_t first, std::size_t count) const {
    const LanePlan<Int>& plan = *plan_;
    const std::size_t panel_bytes = round_up(count * plan.stride + 64, 64), sum_bytes = count * kStrip * sizeof(Int);
    std::byte* memory = scratch(panel_bytes + sum_bytes + count * (kStrip * 2 + sizeof(double) + sizeof(std::uint32_t)));
    auto* inputs = reinterpret_cast<std::uint8_t*>(memory);
    auto* sums = reinterpret_cast<Int*>(memory + panel_bytes);
    std::byte* done = memory + panel_bytes + sum_bytes;
    auto* norms = reinterpret_cast<double*>(done + count * kStrip * 2);
    auto* positions = reinterpret_cast<std::uint32_t*>(norms + count);
    plan.gather()(g_, x_, first, count, inputs, plan.stride);
    for (std::size_t i = 0; i < count; ++i) {
      std::int64_t squares = 0;
      vectorized(SquaresOf{}, reinterpret_cast<const std::int16_t*>(inputs + i * plan.stride), plan.taps, &squares);
      norms[i] = std::sqrt(static_cast<double>(squares)) * (1 + 0x1p-40);
    }
    for (std::size_t strip = 0; strip < plan.tables.strips(); ++strip) {
      std::size_t some = 0;
      for (std::size_t i = 0; i < count; ++i) {
        if (norms[i] > plan.norms[strip]) positions[some++] = static_cast<std::uint32_t>(i);
      }
      if (some > 0) walk(first, strip, inputs, positions, some, sums, done);
    }
  }

  void walk(std::size_t first, std::size_t strip, const std::uint8_t* inputs, const std::uint32_t* positions, std::size_t count, Int* sums,
            std::byte* done) const {
    const LanePlan<Int>& plan = *plan_;
    const std::size_t n = strip * kStrip, size = plan.narrow_outputs ? 1 : 2;
    std::uint32_t counts[kStrip] = {};
    plan.walk()({plan.tables.strip(strip), inputs, plan.stride, positions, count, plan.taps / g_.channels, g_.channels,
                 plan.every[strip].data(), plan.every[strip].size(), &plan.kind[n], sums, counts});
    plan.tables.count(strip, counts, differing_);
    plan.tables.finish(strip, sums, count, table_, done,
                       [&](std::size_t i) { return out_ + ((first + positions[i]) * plan.outputs + n) * size; });
  }

  std::shared_ptr<const LanePlan<Int>> plan_;
  std::unique_ptr<Step> fast_;
  Geometry g_;
  const void* x_;
  std::byte* out_;
  const std::int8_t* table_;
  std::atomic<std::uint32_t>* differing_;
  std::size_t positions_, rows_;
  double nanoseconds_;
};

template <typename Int>
class LaneDense : public Mac {
 public:
  LaneDense(const Filter& f, const MacIsa& isa) : plan_(std::make_shared<const LanePlan<Int>>(f, isa)), fast_(make_dense(f, isa)) {}

  std::unique_ptr<Step> bind(const Geometry& geometry, const void* x, void* out, const std::int8_t* table,
                             std::atomic<std::uint32_t>* differing) const override {
    return std::make_unique<LaneStep<Int>>(plan_, fast_->bind(geometry, x, out, table, nullptr), geometry, x, out, table, differing);
  }

 private:
  std::shared_ptr<const LanePlan<Int>> plan_;
  std::unique_ptr<Mac> fast_;
};

}  // namespace

std::unique_ptr<Mac> make_dense_lanes(const Filter& filter, const MacIsa& isa) {
  if (lanes_fit_32_bits(filter)) return std::make_unique<LaneDense<std::int32_t>>(filter, isa);
  return std::make_unique<LaneDense<std::int64_t>>(filter, isa);
}

}  // namespace espdl
