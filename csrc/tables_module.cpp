// The final shift and table look-up as Python sees them: sizes and types are checked here, the GIL is released, and the kernel runs.
#include <nanobind/stl/vector.h>

#include "bindings.hpp"
#include "lookup.hpp"
#include "requantize.hpp"

namespace espdl {

namespace {

Requantizer make_requantizer(const std::vector<std::int64_t>& bias, const std::vector<std::int64_t>& shift, std::size_t channels,
                             bool half_even, bool relu, double bound) {
  if (channels == 0 || (!bias.empty() && bias.size() != channels)) refuse("one bias per channel is needed");
  if (shift.size() != 1 && shift.size() != channels) refuse("one shift, or one per channel, is needed");
  return Requantizer(bias, shift, channels, half_even, relu, bound);
}

void requantize(const Requantizer& self, Input sums, Output out) {
  if (sums.size() != out.size() || sums.size() % self.channels() != 0) refuse("sums and outputs must have the same shape");
  const std::size_t rows = sums.size() / self.channels();
  bool done = false;
  with_type<float, double, std::int32_t, std::int64_t>(sums, [&](const auto* source) {
    done = with_type<std::int8_t, std::int16_t, std::int32_t>(out, [&](auto* target) {
      nb::gil_scoped_release release;
      self.run(source, target, rows);
    });
  });
  if (!done) refuse("sums must be float32, float64, int32 or int64, outputs int8, int16 or int32");
}

void lookup(Input table, Input x, Output out, int step_bits, bool half_even) {
  if (x.size() != out.size()) refuse("inputs and outputs must have the same shape");
  if (table.dtype() != out.dtype()) refuse("the table must have the type of the outputs");
  const bool narrow = x.dtype() == nb::dtype<std::int8_t>();
  if (!narrow && x.dtype() != nb::dtype<std::int16_t>()) refuse("inputs must be int8 or int16");
  const std::size_t entries = narrow ? 256 : (std::size_t{65536} >> step_bits) + (step_bits > 0 ? 1 : 0);
  if (step_bits < 0 || step_bits > 16 || table.size() < entries) refuse("the table is too short");
  const bool done = with_type<std::int8_t, std::int16_t, std::int32_t, float>(out, [&](auto* target) {
    using Out = std::remove_pointer_t<decltype(target)>;
    const auto* values = static_cast<const Out*>(table.data());
    nb::gil_scoped_release release;
    if (narrow) {
      espdl::lookup8(values, static_cast<const std::int8_t*>(x.data()), target, x.size());
    } else {
      espdl::lookup16(values, static_cast<const std::int16_t*>(x.data()), target, x.size(), step_bits, half_even);
    }
  });
  if (!done) refuse("outputs must be int8, int16, int32 or float32");
}

}  // namespace

void register_tables(nb::module_& m) {
  nb::class_<Requantizer>(m, "Requantizer")
      .def(nb::new_(&make_requantizer), nb::arg("bias"), nb::arg("shift"), nb::arg("channels"), nb::arg("half_even"), nb::arg("relu"),
           nb::arg("bound"))
      .def("__call__", &requantize, nb::arg("sums").noconvert(), nb::arg("out").noconvert());
  m.def("lookup", &lookup, nb::arg("table").noconvert(), nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("step_bits"),
        nb::arg("half_even"));
}

}  // namespace espdl
