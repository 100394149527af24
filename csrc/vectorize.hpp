// A loop body compiled once per instruction set and chosen when it is called.
#pragma once

#include "isa.hpp"

// The arrays of a step are either the same or apart (checked where it is bound), so iterations do not depend on one another.
#if defined(__clang__)
#define ESPDL_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define ESPDL_IVDEP _Pragma("GCC ivdep")
#else
#define ESPDL_IVDEP
#endif

namespace espdl {

template <typename Body, typename... Args>
void body_baseline(const Body& body, Args... args) {
  body(args...);
}
#if ESPDL_X86
template <typename Body, typename... Args>
ESPDL_AVX2 void body_avx2(const Body& body, Args... args) {
  body(args...);
}
template <typename Body, typename... Args>
ESPDL_AVX512 void body_avx512(const Body& body, Args... args) {
  body(args...);
}
#endif

// Calls body(args...), whose call operator is ESPDL_INLINE, in the form for the instruction set in use.
template <typename Body, typename... Args>
void vectorized(const Body& body, Args... args) {
#if ESPDL_X86
  if (isa >= Isa::avx512) return body_avx512(body, args...);
  if (isa >= Isa::avx2) return body_avx2(body, args...);
#endif
  body_baseline(body, args...);
}

}  // namespace espdl
