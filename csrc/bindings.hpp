// What each part of the Python module registers; every part has a file of its own.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>
#include <type_traits>

namespace espdl {

namespace nb = nanobind;

// An array that is read, and one that is written: C-contiguous, on the CPU, of any type. A step keeps them, and so their memory, alive.
using Input = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<nb::c_contig, nb::device::cpu>;

[[noreturn]] inline void refuse(const char* what) { throw std::invalid_argument(what); }

// Calls work(pointer) with the pointer's type taken from the array; false when the array has none of these types.
template <typename... Types, typename Array, typename Work>
bool with_type(const Array& array, Work&& work) {
  const auto attempt = [&]<typename T>(T*) {
    if (array.dtype() != nb::dtype<T>()) return false;
    using Element = std::conditional_t<std::is_same_v<Array, Input>, const T, T>;
    work(static_cast<Element*>(array.data()));
    return true;
  };
  return (attempt(static_cast<Types*>(nullptr)) || ...);
}

void register_step(nb::module_& m);      // Step, Chain, set_threads; first, the others derive from Step
void register_tables(nb::module_& m);    // Requantizer, lookup
void register_conv(nb::module_& m);      // convolution and linear
void register_elementwise(nb::module_& m);  // Add, Sub, Mul, PRelu, Requantize, table look-up
void register_move(nb::module_& m);         // copies
void register_pool2d(nb::module_& m);       // pooling and means
void register_product(nb::module_& m);      // products of computed matrices
void register_real(nb::module_& m);         // quantize, dequantize, Softmax
void register_resize(nb::module_& m);       // linear Resize
void register_statistics(nb::module_& m);   // ends and moments of binary32 rows

}  // namespace espdl
