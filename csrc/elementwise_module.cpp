// Element-wise steps as Python sees them: shapes and types are checked here, once.
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>

#include "elementwise.hpp"
#include "kernel_step.hpp"

namespace espdl {

namespace {

using Four = std::array<std::size_t, Grid::kRank>;
using Table = std::optional<Input>;

// The elements that the grid reaches must be there.
Grid checked(const Four& extent, const Four& step_a, const Four& step_b, std::size_t a, std::size_t b, std::size_t out) {
  const Grid grid{extent, step_a, step_b};
  std::size_t last_a = 0, last_b = 0;
  for (std::size_t axis = 0; axis < Grid::kRank; ++axis) {
    if (extent[axis] == 0) refuse("an axis without elements");
    last_a += (extent[axis] - 1) * step_a[axis];
    last_b += (extent[axis] - 1) * step_b[axis];
  }
  if (grid.size() != out || last_a >= a || last_b >= b) refuse("the operands do not fit the output");
  if (step_a[Grid::kRank - 1] > 1 || step_b[Grid::kRank - 1] > 1) refuse("the last axis must be contiguous or repeated");
  return grid;
}

Grid flat(std::size_t size) { return Grid{{1, 1, 1, size}, {0, 0, 0, 1}, {0, 0, 0, 1}}; }

const std::int8_t* entries(const Table& table, const Output& out) {
  if (!table) return nullptr;
  const std::int8_t* result = nullptr;
  if (table->size() != 256 || !with_type<std::int8_t>(*table, [&](const std::int8_t* data) { result = data; })) {
    refuse("a table has 256 entries of type int8");
  }
  if (out.dtype() != nb::dtype<std::int8_t>()) refuse("only int8 results are looked up");
  return result;
}

void check_shift(int shift) {
  if (shift < kLowestShift || shift > kLargestShift) refuse("the shift is out of range");
}

Step* sum_step(Input a, Input b, Output out, Four extent, Four step_a, Four step_b, bool subtract, Table table) {
  const Grid grid = checked(extent, step_a, step_b, a.size(), b.size(), out.size());
  const std::int8_t* values = entries(table, out);
  return with_integer(
      [&]<typename T>(T) {
        return with_flag(subtract, [&](auto minus) {
          using Operation = SumOf<T, minus ? -1 : 1>;
          return make_step(Elementwise<T, Operation>(data_of<T>(a), data_of<T>(b), data_of<T>(out), grid, Operation{}, values), a, b, out,
                           table);
        });
      },
      out, a, b);
}

Step* product_step(Input a, Input b, Output out, Four extent, Four step_a, Four step_b, int shift, bool half_even, bool in_float,
                   Table table) {
  const Grid grid = checked(extent, step_a, step_b, a.size(), b.size(), out.size());
  const std::int8_t* values = entries(table, out);
  if (in_float ? std::abs(shift) > kLargestScale : (check_shift(shift), false)) refuse("the shift is out of range");
  return with_integer(
      [&]<typename T>(T) {
        return with_flag(half_even, [&](auto even) {
          const auto made = [&](auto operation) {
            using Operation = decltype(operation);
            return make_step(Elementwise<T, Operation>(data_of<T>(a), data_of<T>(b), data_of<T>(out), grid, operation, values), a, b, out,
                             table);
          };
          if (in_float) return made(FloatProductOf<T, even>{std::ldexp(1.0f, -shift)});
          if constexpr (sizeof(T) == 1) {
            // Products of 2**14 and half a step of 2**13 fit in 16 bits.
            if (shift >= 0 && shift <= 14) {
              using Shift = ShiftRight<even, std::int16_t>;
              return made(ProductOf<T, std::int16_t, Shift>{Shift(shift)});
            }
          }
          return made(ProductOf<T, std::int32_t, ShiftAny<even>>{ShiftAny<even>(shift)});
        });
      },
      out, a, b);
}

Step* quotient_step(Input a, Input b, Output out, Four extent, Four step_a, Four step_b, int shift, bool half_even, bool by_reciprocal) {
  const Grid grid = checked(extent, step_a, step_b, a.size(), b.size(), out.size());
  if (std::abs(shift) > kLargestScale) refuse("the shift is out of range");
  return with_integer(
      [&]<typename T>(T) {
        return with_flag(half_even, [&](auto even) {
          return with_flag(by_reciprocal, [&](auto reciprocal) {
            using Operation = QuotientOf<T, even, reciprocal>;
            const Operation operation{std::ldexp(1.0f, shift)};
            return make_step(Elementwise<T, Operation>(data_of<T>(a), data_of<T>(b), data_of<T>(out), grid, operation, nullptr), a, b, out);
          });
        });
      },
      out, a, b);
}

// out: bytes of 0 or 1.
Step* compare_step(Input a, Input b, Output out, Four extent, Four step_a, Four step_b, const std::string& relation) {
  const Grid grid = checked(extent, step_a, step_b, a.size(), b.size(), out.size());
  if (out.dtype() != nb::dtype<std::uint8_t>() || a.dtype() != b.dtype()) refuse("two operands of one type make bytes");
  const auto of_type = [&]<typename T>(T) -> Step* {
    const auto made = [&](auto operation) {
      using Operation = decltype(operation);
      return make_step(Elementwise<T, Operation>(data_of<T>(a), data_of<T>(b), data_of<std::uint8_t>(out), grid, operation, nullptr), a, b, out);
    };
    if (relation == "equal") return made(Compared<T, Relation::equal>{});
    if (relation == "greater") return made(Compared<T, Relation::greater>{});
    if (relation == "greater_equal") return made(Compared<T, Relation::greater_or_equal>{});
    refuse("there is no such relation");
  };
  if (a.dtype() == nb::dtype<std::int8_t>()) return of_type(std::int8_t{});
  if (a.dtype() == nb::dtype<std::int16_t>()) return of_type(std::int16_t{});
  refuse("operands must be int8 or int16");
}

Step* requantize_step(Input x, Output out, int shift, bool half_even) {
  check_shift(shift);
  if (x.size() != out.size() || x.size() == 0) refuse("inputs and outputs must have the same size");
  const Grid grid = flat(x.size());
  return with_integer(
      [&]<typename To>(To) {
        const auto from = [&]<typename In>(In) {
          return with_flag(half_even, [&](auto even) {
            using Operation = Shifted<In, To, ShiftAny<even>>;
            const In* values = data_of<In>(x);
            const Operation operation{ShiftAny<even>(shift)};
            return make_step(Elementwise<In, Operation>(values, values, data_of<To>(out), grid, operation, nullptr), x, out);
          });
        };
        if (x.dtype() == nb::dtype<std::int8_t>()) return from(std::int8_t{});
        if (x.dtype() == nb::dtype<std::int16_t>()) return from(std::int16_t{});
        refuse("inputs must be int8 or int16");
      },
      out);
}

Step* prelu_step(Input x, Input slope, Output out, Four extent, Four step_a, Four step_b, int positive, int negative, bool half_even) {
  check_shift(positive);
  check_shift(negative);
  const Grid grid = checked(extent, step_a, step_b, x.size(), slope.size(), out.size());
  return with_integer(
      [&]<typename T>(T) {
        return with_flag(half_even, [&](auto even) {
          using Operation = PReluOf<T, even>;
          const Operation operation{ShiftAny<even>(positive), ShiftAny<even>(negative)};
          return make_step(Elementwise<T, Operation>(data_of<T>(x), data_of<T>(slope), data_of<T>(out), grid, operation, nullptr), x,
                           slope, out);
        });
      },
      out, x, slope);
}

// A table over values of one type.
template <typename In, typename Out>
struct Lookup {
  const Out* table;
  const In* x;
  Out* out;
  std::size_t size;
  int step_bits;
  bool half_even;

  static constexpr std::size_t kTile = 4096;
  std::size_t tiles() const { return (size + kTile - 1) / kTile; }
  double nanoseconds() const { return static_cast<double>(size) * (sizeof(In) == 1 ? 0.05 : 0.6); }
  void run(std::size_t first, std::size_t last) const {
    const std::size_t begin = first * kTile, count = std::min(last * kTile, size) - begin;
    if constexpr (sizeof(In) == 1) {
      lookup8(table, x + begin, out + begin, count);
    } else {
      lookup16(table, x + begin, out + begin, count, step_bits, half_even);
    }
  }
};

Step* lookup_step(Input table, Input x, Output out, int step_bits, bool half_even) {
  if (x.size() != out.size()) refuse("inputs and outputs must have the same size");
  const bool narrow = x.dtype() == nb::dtype<std::int8_t>();
  if (step_bits < 0 || step_bits > 16) refuse("the step is out of range");
  const std::size_t needed = narrow ? 256 : (std::size_t{65536} >> step_bits) + (step_bits > 0 ? 1 : 0);
  if (table.size() < needed) refuse("the table is too short");
  return with_integer(
      [&]<typename Out>(Out) {
        const auto from = [&]<typename In>(In) {
          const Lookup<In, Out> kernel{data_of<Out>(table), data_of<In>(x), data_of<Out>(out), x.size(), step_bits, half_even};
          return make_step(kernel, table, x, out);
        };
        if (narrow) return from(std::int8_t{});
        if (x.dtype() == nb::dtype<std::int16_t>()) return from(std::int16_t{});
        refuse("inputs must be int8 or int16");
      },
      out, table);
}

}  // namespace

void register_elementwise(nb::module_& m) {
  m.def("sum_step", &sum_step, nb::arg("a").noconvert(), nb::arg("b").noconvert(), nb::arg("out").noconvert(), nb::arg("extent"),
        nb::arg("step_a"), nb::arg("step_b"), nb::arg("subtract"), nb::arg("table").none());
  m.def("product_step", &product_step, nb::arg("a").noconvert(), nb::arg("b").noconvert(), nb::arg("out").noconvert(), nb::arg("extent"),
        nb::arg("step_a"), nb::arg("step_b"), nb::arg("shift"), nb::arg("half_even"), nb::arg("in_float"), nb::arg("table").none());
  m.def("quotient_step", &quotient_step, nb::arg("a").noconvert(), nb::arg("b").noconvert(), nb::arg("out").noconvert(), nb::arg("extent"),
        nb::arg("step_a"), nb::arg("step_b"), nb::arg("shift"), nb::arg("half_even"), nb::arg("by_reciprocal"));
  m.def("compare_step", &compare_step, nb::arg("a").noconvert(), nb::arg("b").noconvert(), nb::arg("out").noconvert(), nb::arg("extent"),
        nb::arg("step_a"), nb::arg("step_b"), nb::arg("relation"));
  m.def("requantize_step", &requantize_step, nb::arg("x").noconvert(), nb::arg("out").noconvert(), nb::arg("shift"),
        nb::arg("half_even"));
  m.def("prelu_step", &prelu_step, nb::arg("x").noconvert(), nb::arg("slope").noconvert(), nb::arg("out").noconvert(), nb::arg("extent"),
        nb::arg("step_a"), nb::arg("step_b"), nb::arg("positive"), nb::arg("negative"), nb::arg("half_even"));
  m.def("lookup_step", &lookup_step, nb::arg("table").noconvert(), nb::arg("x").noconvert(), nb::arg("out").noconvert(),
        nb::arg("step_bits"), nb::arg("half_even"));
}

}  // namespace espdl
