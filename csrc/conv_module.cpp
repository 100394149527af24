// Multiply-accumulate operators as Python sees them: sizes and types are checked here.
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <optional>
#include <tuple>

#include "bindings.hpp"
#include "mac.hpp"

namespace espdl {

namespace {

// low, high, every, wraps
using LaneTuple = std::tuple<std::int64_t, std::int64_t, std::size_t, bool>;

// A prepared operator with the sizes that its images must have.
class PreparedMac {
 public:
  PreparedMac(Input weights, bool depthwise, std::vector<std::int64_t> bias, std::vector<std::int64_t> shift, bool half_even, bool relu,
              bool narrow_inputs, bool narrow_outputs, std::vector<std::int32_t> low, std::vector<std::int32_t> high, const std::vector<LaneTuple>& lanes) {
    if (weights.ndim() != (depthwise ? 3u : 4u) || weights.size() == 0) refuse("weights must be [KH, KW, C, N], depthwise [KH, KW, N]");
    filter_ = {.height = weights.shape(0),
               .width = weights.shape(1),
               .channels = weights.shape(2),
               .outputs = weights.shape(weights.ndim() - 1),
               .depthwise = depthwise,
               .weights = std::vector<std::int16_t>(weights.size()),
               .narrow_weights = weights.dtype() == nb::dtype<std::int8_t>(),
               .narrow_inputs = narrow_inputs,
               .narrow_outputs = narrow_outputs,
               .bias = std::move(bias),
               .shift = std::move(shift),
               .half_even = half_even,
               .relu = relu,
               .low = std::move(low),
               .high = std::move(high),
               .lanes = {},
               .magnitudes = {}};
    if (!with_type<std::int8_t, std::int16_t>(weights, [&](const auto* source) {
          std::copy_n(source, filter_.weights.size(), filter_.weights.begin());
        })) {
      refuse("weights must be int8 or int16");
    }
    filter_.bias.resize(filter_.outputs, 0);
    if (filter_.shift.size() != 1 && filter_.shift.size() != filter_.outputs) refuse("one shift, or one per output, is needed");
    filter_.shift.resize(filter_.outputs, filter_.shift.front());
    filter_.add_up_magnitudes();
    if (filter_.low.size() != filter_.high.size() || (!filter_.low.empty() && filter_.low.size() != filter_.outputs)) {
      refuse("one accumulator per output is needed");
    }
    if (!filter_.low.empty() && (depthwise || !narrow_inputs || !filter_.narrow_weights || !fits_32_bits())) {
      refuse("accumulators that saturate need an int8 convolution whose exact sums fit 32 bits");
    }
    add_lanes(lanes);
    const MacIsa& table = mac_isa(isa);
    {
      nb::gil_scoped_release release;
      if (filter_.lanes.empty()) {
        mac_ = depthwise ? make_depthwise(filter_, table) : make_dense(filter_, table);
      } else {
        mac_ = depthwise ? make_depthwise_lanes(filter_, table) : make_dense_lanes(filter_, table);
      }
    }
    filter_.weights = {};
  }

  bool fits_32_bits() const {
    for (std::size_t n = 0; n < filter_.outputs; ++n) {
      if (static_cast<double>(filter_.magnitudes[n]) * 128 + std::abs(static_cast<double>(filter_.bias[n])) >= 0x1p31) return false;
    }
    return true;
  }

  void add_lanes(const std::vector<LaneTuple>& lanes) {
    if (!lanes.empty() && (lanes.size() != filter_.outputs || !filter_.low.empty())) refuse("one accumulator per output is needed");
    for (const auto& [low, high, every, wraps] : lanes) {
      const bool is_power = high >= 0 && (static_cast<std::uint64_t>(high) & (static_cast<std::uint64_t>(high) + 1)) == 0;
      if (!is_power || low != -high - 1 || every == 0) refuse("an accumulator has the ends of an integer type and takes a product at least");
      filter_.lanes.push_back({low, high, every, wraps});
    }
  }

  // Outputs whose sums are counted where they leave their accumulator; 0 where none can.
  std::size_t counted() const { return std::max(filter_.low.size(), filter_.lanes.size()); }
  const Filter& filter() const { return filter_; }
  const Mac& mac() const { return *mac_; }

 private:
  Filter filter_;
  std::unique_ptr<Mac> mac_;
};

// Keeps the arrays, whose memory the step inside knows by address.
class BoundMac : public Step {
 public:
  // window: strides, dilations (vertical, horizontal), pads (top, left). image, result: height and width.
  BoundMac(const PreparedMac& prepared, Input x, Output out, std::array<std::size_t, 6> window, std::array<std::size_t, 2> image,
           std::array<std::size_t, 2> result, std::optional<Input> table)
      : x_(std::move(x)), out_(std::move(out)), table_(std::move(table)), differing_(prepared.counted()) {
    const Filter& f = prepared.filter();
    if (x_.dtype() != (f.narrow_inputs ? nb::dtype<std::int8_t>() : nb::dtype<std::int16_t>()) ||
        out_.dtype() != (f.narrow_outputs ? nb::dtype<std::int8_t>() : nb::dtype<std::int16_t>())) {
      refuse("inputs or outputs are of another type than the operator was prepared for");
    }
    if (x_.size() != image[0] * image[1] * f.channels) refuse("the input has another size than the image");
    if (out_.size() != result[0] * result[1] * f.outputs) refuse("the output has another size than the result");
    if (table_ && (!f.narrow_outputs || table_->dtype() != nb::dtype<std::int8_t>() || table_->size() != 256)) {
      refuse("a table has 256 int8 entries and follows an int8 operator");
    }
    const Geometry geometry{image[0],  image[1],  f.channels, result[0], result[1], f.height, f.width,
                            window[0], window[1], window[2],  window[3], window[4], window[5]};
    if (out_.size() == 0) return;
    step_ = prepared.mac().bind(geometry, x_.data(), out_.data(), table_ ? static_cast<const std::int8_t*>(table_->data()) : nullptr,
                                differing_.empty() ? nullptr : differing_.data());
  }

  void run(Pool& pool) override {
    for (auto& count : differing_) count.store(0, std::memory_order_relaxed);
    if (step_ != nullptr) step_->run(pool);
  }

  // Sums of the last run that left their accumulator: how many for each output; empty where none can.
  std::vector<std::uint32_t> overflows() const { return {differing_.begin(), differing_.end()}; }

 private:
  Input x_;
  Output out_;
  std::optional<Input> table_;
  std::vector<std::atomic<std::uint32_t>> differing_;
  std::unique_ptr<Step> step_;
};

double dots(std::size_t rounds) {
  nb::gil_scoped_release release;
  return mac_isa(isa).dots(rounds);
}

}  // namespace

void register_conv(nb::module_& m) {
  nb::class_<PreparedMac>(m, "Mac")
      .def(nb::init<Input, bool, std::vector<std::int64_t>, std::vector<std::int64_t>, bool, bool, bool, bool,
                    std::vector<std::int32_t>, std::vector<std::int32_t>, const std::vector<LaneTuple>&>(),
           nb::arg("weights").noconvert(), nb::arg("depthwise"), nb::arg("bias"), nb::arg("shift"), nb::arg("half_even"), nb::arg("relu"),
           nb::arg("narrow_inputs"), nb::arg("narrow_outputs"), nb::arg("low"), nb::arg("high"),
           nb::arg("lanes"));
  nb::class_<BoundMac, Step>(m, "MacStep")
      .def(nb::init<const PreparedMac&, Input, Output, std::array<std::size_t, 6>, std::array<std::size_t, 2>, std::array<std::size_t, 2>,
                    std::optional<Input>>(),
           nb::arg("mac"), nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("window"), nb::arg("image"), nb::arg("result"),
           nb::arg("table").none() = nb::none())
      .def("overflows", &BoundMac::overflows);
  m.def("dots", &dots, nb::arg("rounds"));
}

}  // namespace espdl
