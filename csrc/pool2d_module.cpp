// Pooling and means as Python sees them.
#include <nanobind/stl/array.h>

#include <cmath>

#include "kernel_step.hpp"
#include "pool2d.hpp"

namespace espdl {

namespace {

// length, kernel, stride, before, outputs
using Axis = std::array<std::size_t, 5>;

Slide slide(const Axis& axis) {
  if (axis[0] == 0 || axis[1] == 0 || axis[2] == 0 || axis[4] == 0) refuse("axes, kernels and strides start at 1");
  return {axis[0], axis[1], axis[2], axis[3], axis[4]};
}

std::size_t channels_of(const Input& x, const Output& out, const Axis& rows, const Axis& across, std::size_t channels) {
  if (channels == 0 || x.size() != rows[0] * across[0] * channels || out.size() != rows[4] * across[4] * channels) {
    refuse("the arrays do not fit the window");
  }
  return channels;
}

void check_scale(int exponent) {
  if (std::abs(exponent) > kLargestScale) refuse("the exponent is out of range");
}

Step* max_pool_step(Input x, Output out, Axis rows, Axis across, std::size_t channels) {
  channels_of(x, out, rows, across, channels);
  return with_integer(
      [&]<typename T>(T) {
        using Kernel = WindowPool<T, Largest<T>, Keep>;
        return make_step(Kernel(data_of<T>(x), data_of<T>(out), slide(rows), slide(across), channels, Keep{}), x, out);
      },
      out, x);
}

Step* average_pool_step(Input x, Output out, Axis rows, Axis across, std::size_t channels, float share, int shift, bool half_even) {
  channels_of(x, out, rows, across, channels);
  check_scale(shift);
  return with_integer(
      [&]<typename T>(T) {
        return with_flag(half_even, [&](auto even) {
          using Finish = ShareOf<T, even>;
          using Kernel = WindowPool<T, Total<T>, Finish>;
          const Finish finish{share, std::ldexp(1.0f, -shift)};
          return make_step(Kernel(data_of<T>(x), data_of<T>(out), slide(rows), slide(across), channels, finish), x, out);
        });
      },
      out, x);
}

Step* mean_step(Input x, Output out, std::array<std::size_t, 3> extent, int input_exponent, int output_exponent, bool half_even) {
  const auto [outer, reduced, inner] = extent;
  if (reduced == 0 || x.size() != outer * reduced * inner || out.size() != outer * inner) refuse("the arrays do not fit the axes");
  check_scale(input_exponent);
  check_scale(output_exponent);
  return with_integer(
      [&]<typename T>(T) {
        return with_flag(half_even, [&](auto even) {
          return make_step(MiddleMean<T, even>(data_of<T>(x), data_of<T>(out), outer, reduced, inner, std::ldexp(1.0f, input_exponent),
                                               std::ldexp(1.0f, -output_exponent)),
                           x, out);
        });
      },
      out, x);
}

}  // namespace

void register_pool2d(nb::module_& m) {
  m.def("max_pool_step", &max_pool_step, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("rows"), nb::arg("across"),
        nb::arg("channels"));
  m.def("average_pool_step", &average_pool_step, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("rows"),
        nb::arg("across"), nb::arg("channels"), nb::arg("share"), nb::arg("shift"), nb::arg("half_even"));
  m.def("mean_step", &mean_step, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("extent"), nb::arg("input_exponent"),
        nb::arg("output_exponent"), nb::arg("half_even"));
}

}  // namespace espdl
