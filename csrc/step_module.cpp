// Steps as Python sees them.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <vector>

#include "allocations.hpp"
#include "bindings.hpp"
#include "isa.hpp"
#include "step.hpp"

namespace espdl {

namespace {

void run_step(Step& step) {
  Pool& pool = Pool::shared();
  nb::gil_scoped_release release;
  step.run(pool);
}

// On the calling thread only.
void run_step_alone(Step& step) {
  static Pool alone(1);
  nb::gil_scoped_release release;
  step.run(alone);
}

// Many steps behind one call; keeps their Python objects alive.
class Chain : public Step {
 public:
  explicit Chain(const nb::list& steps) {
    for (const nb::handle step : steps) {
      steps_.push_back(nb::cast<Step*>(step));
      owners_.push_back(nb::borrow(step));
    }
  }

  void run(Pool& pool) override {
    for (Step* step : steps_) step->run(pool);
  }

 private:
  std::vector<nb::object> owners_;
  std::vector<Step*> steps_;
};

void set_threads(std::size_t count) {
  if (count < 1) refuse("at least one thread is needed");
  Pool::set_threads(count);
}

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const Isa candidate : kIsas) {
    if (has_isa(candidate)) names.emplace_back(isa_name(candidate));
  }
  return names;
}

}  // namespace

void register_step(nb::module_& m) {
  nb::class_<Step>(m, "Step").def("__call__", &run_step).def("alone", &run_step_alone);
  nb::class_<Chain, Step>(m, "Chain").def(nb::init<const nb::list&>(), nb::arg("steps"));
  m.def("set_threads", &set_threads, nb::arg("count"));
  m.def("threads", [] { return Pool::shared().threads(); });
  m.def("allocations", [] { return allocations.load(std::memory_order_relaxed); });
  m.attr("COUNTS_ALLOCATIONS") = ESPDL_COUNTS_ALLOCATIONS != 0;
  m.def("isas", &isas);
  m.def("set_isa", [](const std::string& name) { isa = find_isa(name); }, nb::arg("name"));
}

}  // namespace espdl
