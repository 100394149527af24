// Steps between integers and binary32 as Python sees them.
#include <cmath>

#include "kernel_step.hpp"
#include "real.hpp"

namespace espdl {

namespace {

void check_exponent(int exponent) {
  if (std::abs(exponent) > kLargestScale) refuse("the exponent is out of range");
}

Step* quantize_step(Input x, Output out, int exponent, bool half_even) {
  check_exponent(exponent);
  if (x.dtype() != nb::dtype<float>() || x.size() != out.size() || x.size() == 0) refuse("one float32 per output is needed");
  const auto* in = static_cast<const std::byte*>(x.data());
  const auto* to = static_cast<const std::byte*>(out.data());
  const bool overlaps = in < to + out.nbytes() && to < in + x.nbytes();
  if (overlaps && in != to) refuse("outputs on the inputs must begin where they do");
  return with_integer(
      [&]<typename To>(To) {
        return with_flag(half_even, [&](auto even) {
          return make_step(Quantize<To, even>(data_of<float>(x), data_of<To>(out), x.size(), std::ldexp(1.0f, -exponent), overlaps), x, out);
        });
      },
      out);
}

Step* dequantize_step(Input x, Output out, int exponent) {
  check_exponent(exponent);
  if (out.dtype() != nb::dtype<float>() || x.size() != out.size()) refuse("one float32 per input is needed");
  const float scale = std::ldexp(1.0f, exponent);
  const auto from = [&]<typename T>(T) {
    return make_step(Dequantize<T>{data_of<T>(x), data_of<float>(out), x.size(), scale}, x, out);
  };
  if (x.dtype() == nb::dtype<std::int8_t>()) return from(std::int8_t{});
  if (x.dtype() == nb::dtype<std::int16_t>()) return from(std::int16_t{});
  refuse("inputs must be int8 or int16");
}

Step* softmax_step(Input table, Input x, Output out, std::size_t columns) {
  if (table.dtype() != nb::dtype<float>() || table.size() != 256) refuse("a table of 256 float32 is needed");
  if (x.dtype() != nb::dtype<std::int8_t>() || out.dtype() != nb::dtype<float>()) refuse("inputs must be int8, outputs float32");
  if (columns == 0 || x.size() != out.size() || x.size() % columns != 0) refuse("inputs and outputs must be the same rows");
  const RowSoftmax kernel{data_of<std::int8_t>(x), data_of<float>(out), data_of<float>(table), x.size() / columns, columns};
  return make_step(kernel, table, x, out);
}

}  // namespace

void register_real(nb::module_& m) {
  m.def("quantize_step", &quantize_step, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("exponent"), nb::arg("half_even"));
  m.def("dequantize_step", &dequantize_step, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("exponent"));
  m.def("softmax_step", &softmax_step, nb::arg("table").noconvert(), nb::arg("x").noconvert(), nb::arg("out").noconvert(),
        nb::arg("columns"));
}

}  // namespace espdl
