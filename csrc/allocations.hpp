// How many times this extension took memory.
#pragma once

#include <atomic>
#include <cstdint>

// Sanitizers have an operator new of their own, and elsewhere the linker would not keep ours to itself.
#if defined(__linux__) && !defined(ESPDL_SANITIZED)
#define ESPDL_COUNTS_ALLOCATIONS 1
#else
#define ESPDL_COUNTS_ALLOCATIONS 0
#endif

namespace espdl {

inline std::atomic<std::uint64_t> allocations{0};

inline void count_allocation() { allocations.fetch_add(1, std::memory_order_relaxed); }

}  // namespace espdl
