// Products of computed matrices as Python sees them: sizes and types are checked here.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "bindings.hpp"
#include "product.hpp"

namespace espdl {

namespace {

using Size = std::size_t;
using LaneRow = std::tuple<Size, Size, std::int64_t, std::int64_t, Size, bool>;

bool is_narrow(const nb::dlpack::dtype& type) {
  if (type == nb::dtype<std::int8_t>()) return true;
  if (type != nb::dtype<std::int16_t>()) refuse("matrices must be int8 or int16");
  return false;
}

// Keeps the arrays, whose memory the step inside knows by address.
class BoundProduct : public Step {
 public:
  // size: rows, depth, columns. order: start and step of each column. shift: one per column. lanes: see ColumnLane.
  BoundProduct(Input a, Input b, Output out, std::tuple<Size, Size, Size> size, std::vector<std::pair<Size, Size>> pairs,
               const std::vector<std::pair<Size, Size>>& order, std::vector<std::int64_t> shift, bool half_even, bool relu,
               const std::vector<LaneRow>& lanes)
      : a_(std::move(a)), b_(std::move(b)), out_(std::move(out)) {
    const auto [rows, depth, columns] = size;
    if (rows == 0 || depth == 0 || columns == 0 || pairs.empty()) refuse("a product of nothing");
    const Size left = rows * depth, right = depth * columns;
    if (a_.size() % left != 0 || b_.size() % right != 0) refuse("the inputs do not hold whole matrices");
    if (out_.size() != pairs.size() * rows * columns) refuse("the output has another size than the results");
    for (const auto& [from, with] : pairs) {
      if (from >= a_.size() / left || with >= b_.size() / right) refuse("there is no matrix of that index");
    }
    if (order.size() != columns || shift.size() != columns) refuse("one place and one shift per column are needed");
    Product product{rows, depth, columns, is_narrow(a_.dtype()), is_narrow(b_.dtype()), is_narrow(out_.dtype()), std::move(pairs), {},
                    std::move(shift), half_even, relu, {}};
    for (const auto& [start, step] : order) {
      if (start >= right || step == 0 || step > right || (depth - 1) > (right - 1 - start) / step) refuse("a column lies outside its matrix");
      product.order.push_back({start, step});
    }
    for (const auto& [start, stop, low, high, every, saturates] : lanes) {
      if (start > stop || stop > columns || low >= 0 || high != -(low + 1) || (high & (high + 1)) != 0 || every == 0) refuse("impossible accumulators");
      product.lanes.push_back({start, stop, low, high, every, saturates});
    }
    differing_ = std::vector<std::atomic<std::uint32_t>>(lanes.empty() ? 0 : columns);
    step_ = make_product(std::move(product), mac_isa(isa), a_.data(), b_.data(), out_.data(), differing_.data());
  }

  void run(Pool& pool) override {
    for (auto& count : differing_) count.store(0, std::memory_order_relaxed);
    step_->run(pool);
  }

  // Sums of the last run that left their accumulator: how many for each column; empty where none can.
  std::vector<std::uint32_t> overflows() const { return {differing_.begin(), differing_.end()}; }

 private:
  Input a_, b_;
  Output out_;
  std::vector<std::atomic<std::uint32_t>> differing_;
  std::unique_ptr<Step> step_;
};

}  // namespace

void register_product(nb::module_& m) {
  nb::class_<BoundProduct, Step>(m, "ProductStep")
      .def(nb::init<Input, Input, Output, std::tuple<Size, Size, Size>, std::vector<std::pair<Size, Size>>,
                    const std::vector<std::pair<Size, Size>>&, std::vector<std::int64_t>, bool, bool, const std::vector<LaneRow>&>(),
           nb::arg("a").noconvert(), nb::arg("b").noconvert(), nb::arg("out").noconvert(), nb::arg("size"), nb::arg("pairs"), nb::arg("order"),
           nb::arg("shift"), nb::arg("half_even"), nb::arg("relu"), nb::arg("lanes"))
      .def("overflows", &BoundProduct::overflows);
}

}  // namespace espdl
