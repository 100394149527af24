// One operator bound to its arrays.
#pragma once

#include "pool.hpp"

namespace espdl {

// Made once, checked once: run reads and writes the arrays it was bound to, allocates nothing and does not need the GIL.
class Step {
 public:
  virtual ~Step() = default;
  virtual void run(Pool& pool) = 0;
};

}  // namespace espdl
