// A step made of a kernel that works on independent tiles, and the arrays it must keep alive.
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include "bindings.hpp"
#include "step.hpp"

namespace espdl {

// Kernel has tiles(), the number of independent pieces; nanoseconds(), about what all of them take; and run(first, last).
template <typename Kernel, typename... Arrays>
class KernelStep : public Step {
 public:
  KernelStep(Kernel kernel, Arrays... arrays) : kernel_(std::move(kernel)), arrays_(std::move(arrays)...) {}

  void run(Pool& pool) override {
    const std::size_t tiles = kernel_.tiles();
    const std::size_t worth = static_cast<std::size_t>(kernel_.nanoseconds() / kSplitAboveNanoseconds) + 1;
    const std::size_t parts = std::min({tiles, worth, 4 * pool.threads()});
    if (parts <= 1 || pool.threads() <= 1) return kernel_.run(0, tiles);
    pool.parallel_for(parts, [&](std::size_t part) { kernel_.run(part * tiles / parts, (part + 1) * tiles / parts); });
  }

 private:
  Kernel kernel_;
  std::tuple<Arrays...> arrays_;
};

// The step of a kernel; whoever gets it owns it.
template <typename Kernel, typename... Arrays>
Step* make_step(Kernel kernel, const Arrays&... arrays) {
  return new KernelStep<Kernel, Arrays...>(std::move(kernel), arrays...);
}

template <typename T>
T* data_of(const Output& array) {
  return static_cast<T*>(array.data());
}

template <typename T>
const T* data_of(const Input& array) {
  return static_cast<const T*>(array.data());
}

// work(T{}) with the one integer type of all arrays, int8 or int16.
template <typename Work, typename... Arrays>
Step* with_integer(Work&& work, const Output& out, const Arrays&... arrays) {
  if (!((arrays.dtype() == out.dtype()) && ...)) refuse("the arrays must have one type");
  if (out.dtype() == nb::dtype<std::int8_t>()) return work(std::int8_t{});
  if (out.dtype() == nb::dtype<std::int16_t>()) return work(std::int16_t{});
  refuse("the arrays must be int8 or int16");
}

// work(true_type or false_type).
template <typename Work>
Step* with_flag(bool flag, Work&& work) {
  return flag ? work(std::true_type{}) : work(std::false_type{});
}

}  // namespace espdl
