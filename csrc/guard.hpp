// The tables that a guard of saturating accumulators looks into.
#pragma once

#include "mac.hpp"

namespace espdl {

// Prepared from a filter of int8 weights over int8 inputs whose exact sums fit 32 bits.
class GuardTables {
 public:
  explicit GuardTables(const Filter& filter);
  const Guard& guard() const { return guard_; }

 private:
  Aligned<std::int8_t> weights_;
  Aligned<std::int32_t> bias_, low_, high_;
  Aligned<std::int32_t> stretch_correction_;
  Aligned<float> stretch_norm_, norm_, twice_low_, twice_high_;
  Guard guard_;
};

}  // namespace espdl
