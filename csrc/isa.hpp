// Which instruction set the running CPU has, and how a kernel is compiled for several of them.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

#if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__i386__))
#define ESPDL_X86 1
#define ESPDL_INLINE inline __attribute__((always_inline))
#define ESPDL_AVX2 __attribute__((target("avx2")))
#define ESPDL_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#else
#define ESPDL_X86 0
#define ESPDL_INLINE inline
#endif

namespace espdl {

enum class Isa { baseline, avx2, avx512 };

inline const char* isa_name(Isa isa) { return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "baseline"; }

// The widest one the CPU has.
inline Isa widest_isa() {
#if ESPDL_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2")) return Isa::avx2;
#endif
  return Isa::baseline;
}

// The one the environment variable ESPDL_ISA names, else the widest.
inline Isa choose_isa() {
  const Isa widest = widest_isa();
  const char* wanted = std::getenv("ESPDL_ISA");
  if (wanted == nullptr || *wanted == '\0') return widest;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (std::string(wanted) == isa_name(isa) && isa <= widest) return isa;
  }
  throw std::runtime_error("ESPDL_ISA=" + std::string(wanted) + " is not an instruction set of this machine; the widest is " +
                           isa_name(widest));
}

// Set once, when the module is loaded.
inline Isa isa = Isa::baseline;

}  // namespace espdl
