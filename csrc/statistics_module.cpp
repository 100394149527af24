// Statistics of binary32 rows as Python sees them: sizes, types and places are checked here. They run on one thread: between runs of a
// float network, whose own threads are better not woken against.
#include "statistics.hpp"

#include "bindings.hpp"
#include "pool.hpp"

namespace espdl {

namespace {

void row_ends(Input x, Output ends) {
  if (x.dtype() != nb::dtype<float>() || ends.dtype() != nb::dtype<float>()) refuse("rows and ends must be float32");
  if (x.ndim() != 2 || x.size() == 0) refuse("rows must be [rows, columns], not empty");
  if (ends.ndim() != 2 || ends.shape(0) != x.shape(0) || ends.shape(1) != 2) refuse("ends must be [rows, 2]");
  const RowEnds kernel{static_cast<const float*>(x.data()), static_cast<float*>(ends.data()), x.shape(0), x.shape(1)};
  nb::gil_scoped_release release;
  vectorized(kernel);
}

void tap_moments(Input x, Input places, Output sums, Output products) {
  if (x.dtype() != nb::dtype<float>() || places.dtype() != nb::dtype<std::int32_t>()) refuse("rows must be float32, places int32");
  if (sums.dtype() != nb::dtype<double>() || products.dtype() != nb::dtype<double>()) refuse("sums and products must be float64");
  if (x.ndim() != 2 || places.ndim() != 2) refuse("rows must be [channels, size], places [taps, positions]");
  const std::size_t channels = x.shape(0), size = x.shape(1), taps = places.shape(0), positions = places.shape(1);
  if (sums.ndim() != 2 || sums.shape(0) != channels || sums.shape(1) != taps) refuse("sums must be [channels, taps]");
  if (products.ndim() != 3 || products.shape(0) != channels || products.shape(1) != taps || products.shape(2) != taps) {
    refuse("products must be [channels, taps, taps]");
  }
  const auto* at = static_cast<const std::int32_t*>(places.data());
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (at[i] >= 0 && static_cast<std::size_t>(at[i]) >= size) refuse("a place lies beyond the rows");
  }
  const TapMoments kernel{static_cast<const float*>(x.data()), at,        static_cast<double*>(sums.data()),
                          static_cast<double*>(products.data()), channels, size, taps, positions};
  nb::gil_scoped_release release;
  vectorized(kernel, reinterpret_cast<double*>(scratch(kernel.scratch_bytes())));
}

}  // namespace

void register_statistics(nb::module_& m) {
  m.def("row_ends", &row_ends, nb::arg("x").noconvert(), nb::arg("ends").noconvert());
  m.def("tap_moments", &tap_moments, nb::arg("x").noconvert(), nb::arg("places").noconvert(), nb::arg("sums").noconvert(),
        nb::arg("products").noconvert());
}

}  // namespace espdl
