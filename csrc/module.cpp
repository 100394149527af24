// The Python module espdl.dl.base._native: chooses the instruction set and lets every kernel family register itself.
#include "bindings.hpp"
#include "isa.hpp"

namespace nb = nanobind;

NB_MODULE(_native, m) {
  m.doc() = "Native kernels of espdl; use them through espdl.dl.base.get_kernels.";
  try {
    espdl::isa = espdl::choose_isa();
  } catch (const std::runtime_error& error) {
    throw nb::import_error(error.what());
  }
  nb::set_leak_warnings(false);  // a traceback that somebody keeps until the end holds models: that is no leak of ours
  m.attr("ISA") = espdl::isa_name(espdl::isa);
  espdl::register_step(m);
  espdl::register_tables(m);
  espdl::register_conv(m);
  espdl::register_elementwise(m);
  espdl::register_move(m);
  espdl::register_pool2d(m);
  espdl::register_product(m);
  espdl::register_real(m);
  espdl::register_resize(m);
  espdl::register_statistics(m);
}
