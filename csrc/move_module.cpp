// Copies as Python sees them. Whoever calls this has checked that sources and targets do not overlap.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include <optional>

#include "kernel_step.hpp"
#include "move.hpp"

namespace espdl {

namespace {

// Arrays with any strides.
using Source = nb::ndarray<nb::ro, nb::device::cpu>;
using Target = nb::ndarray<nb::device::cpu>;

void check_element(std::size_t bytes) {
  if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) refuse("elements must have 1, 2, 4 or 8 bytes");
}

Move make_move(const Target& to, const Source& from) {
  if (to.ndim() != from.ndim() || to.dtype() != from.dtype()) refuse("source and target must have one type and shape");
  const std::size_t element = to.itemsize();
  check_element(element);
  std::vector<Move::Axis> axes;
  for (std::size_t i = 0; i < to.ndim(); ++i) {
    if (to.shape(i) != from.shape(i)) refuse("source and target must have the same shape");
    const auto size = static_cast<std::ptrdiff_t>(element);
    axes.push_back({to.shape(i), to.stride(i) * size, from.stride(i) * size});
  }
  return Move(static_cast<std::byte*>(to.data()), static_cast<const std::byte*>(from.data()), std::move(axes), element);
}

// moves: (target, source) views; in_order: a later one reads what an earlier one wrote. fill: a target and the one value to fill it with.
Step* move_step(const std::vector<std::pair<Target, Source>>& moves, std::optional<std::pair<Output, Input>> fill, bool in_order) {
  std::vector<Move> made;
  for (const auto& [to, from] : moves) {
    if (to.size() != 0) made.push_back(make_move(to, from));
  }
  Moves::Fill filled;
  if (fill) {
    check_element(fill->first.itemsize());
    if (fill->second.size() != 1 || fill->second.dtype() != fill->first.dtype()) refuse("one value of the target's type fills it");
    filled = {static_cast<std::byte*>(fill->first.data()), fill->first.size(), fill->first.itemsize(),
              static_cast<const std::byte*>(fill->second.data())};
  }
  return make_step(Moves(std::move(made), filled, in_order), moves, fill);
}

Step* gather_step(Input x, Output out, std::vector<std::vector<std::size_t>> index) {
  if (x.dtype() != out.dtype() || x.ndim() != index.size() || out.ndim() != index.size() || index.empty()) {
    refuse("inputs, outputs and indices do not fit");
  }
  check_element(x.itemsize());
  std::vector<std::size_t> shape;
  for (std::size_t axis = 0; axis < index.size(); ++axis) {
    shape.push_back(x.shape(axis));
    if (out.shape(axis) != index[axis].size() || index[axis].empty()) refuse("one index per element of the output's axis is needed");
    for (const std::size_t i : index[axis]) {
      if (i >= shape.back()) refuse("an index is outside the input");
    }
  }
  return make_step(
      Gather(static_cast<const std::byte*>(x.data()), static_cast<std::byte*>(out.data()), shape, std::move(index), x.itemsize()), x, out);
}

}  // namespace

void register_move(nb::module_& m) {
  m.def("move_step", &move_step, nb::arg("moves"), nb::arg("fill").none(), nb::arg("in_order"));
  m.def("gather_step", &gather_step, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("index"));
}

}  // namespace espdl
