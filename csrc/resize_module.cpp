// Resize as Python sees it.
#include <nanobind/stl/vector.h>

#include <cmath>

#include "kernel_step.hpp"
#include "resize.hpp"

namespace espdl {

namespace {

Taps make_taps(std::vector<std::size_t> low, std::vector<std::size_t> high, std::vector<float> ratio, std::vector<float> rest,
               std::size_t length) {
  if (high.size() != low.size() || ratio.size() != low.size() || rest.size() != low.size()) refuse("the taps differ in length");
  for (std::size_t i = 0; i < low.size(); ++i) {
    if (low[i] >= length || high[i] >= length) refuse("a tap is outside the input");
  }
  return {std::move(low), std::move(high), std::move(ratio), std::move(rest)};
}

using Indices = std::vector<std::size_t>;
using Ratios = std::vector<float>;

// x [height, width, channels]; row taps are empty when only columns are resized.
Step* resize_step(Input x, Output out, std::size_t height, std::size_t width, std::size_t channels, Indices row_low, Indices row_high,
                  Ratios row_ratio, Ratios row_rest, Indices low, Indices high, Ratios ratio, Ratios rest, int shift, bool half_even) {
  if (std::abs(shift) > kLargestScale) refuse("the shift is out of range");
  if (x.dtype() != nb::dtype<std::int8_t>() || out.dtype() != nb::dtype<std::int8_t>()) refuse("the arrays must be int8");
  Taps rows = make_taps(std::move(row_low), std::move(row_high), std::move(row_ratio), std::move(row_rest), height);
  Taps across = make_taps(std::move(low), std::move(high), std::move(ratio), std::move(rest), width);
  const std::size_t target_rows = rows.low.empty() ? 1 : rows.low.size();
  if ((rows.low.empty() && height != 1) || across.low.empty() || channels == 0 || x.size() != height * width * channels ||
      out.size() != target_rows * across.low.size() * channels) {
    refuse("the arrays do not fit the taps");
  }
  return with_flag(half_even, [&](auto even) {
    return make_step(LinearResize<even>(data_of<std::int8_t>(x), data_of<std::int8_t>(out), std::move(rows), std::move(across), width,
                                        channels, std::ldexp(1.0f, -shift)),
                     x, out);
  });
}

}  // namespace

void register_resize(nb::module_& m) {
  m.def("resize_step", &resize_step, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("height"), nb::arg("width"),
        nb::arg("channels"), nb::arg("row_low"), nb::arg("row_high"), nb::arg("row_ratio"), nb::arg("row_rest"), nb::arg("low"),
        nb::arg("high"), nb::arg("ratio"), nb::arg("rest"), nb::arg("shift"), nb::arg("half_even"));
}

}  // namespace espdl
