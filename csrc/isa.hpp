// Which instruction sets the running CPU has, and how a kernel is compiled for several of them.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__i386__))
#define ESPDL_X86 1
#define ESPDL_INLINE inline __attribute__((always_inline))
#define ESPDL_AVX2 __attribute__((target("avx2")))
#define ESPDL_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#else
#define ESPDL_X86 0
#define ESPDL_INLINE inline
#endif

#if (defined(__GNUC__) || defined(__clang__)) && defined(__aarch64__) && !defined(__AARCH64EB__)
#define ESPDL_ARM64 1
#else
#define ESPDL_ARM64 0
#endif
// Whether the compiler can make code for it: clang before 16 has no intrinsics beyond what the whole file is compiled for.
#if ESPDL_ARM64 && (defined(__ARM_FEATURE_DOTPROD) || !defined(__clang__) || __clang_major__ >= 16)
#define ESPDL_DOTPROD 1
#else
#define ESPDL_DOTPROD 0
#endif

namespace espdl {

// In ascending order, first those of x86, then those of arm64: code for one of them runs on every later one of the same architecture that
// has no code of its own, except that avx512 does not imply avxvnni. Where it is compiled, code for avx2 tests `isa >= Isa::avx2`, code for
// avx512 `isa >= Isa::avx512`, code for neon `isa >= Isa::neon`.
enum class Isa { baseline, avx2, avxvnni, avx512, avx512vnni, neon, dotprod };

inline constexpr Isa kIsas[] = {Isa::baseline, Isa::avx2, Isa::avxvnni, Isa::avx512, Isa::avx512vnni, Isa::neon, Isa::dotprod};

inline const char* isa_name(Isa isa) {
  constexpr const char* names[] = {"baseline", "avx2", "avxvnni", "avx512", "avx512vnni", "neon", "dotprod"};
  return names[static_cast<int>(isa)];
}

#if ESPDL_DOTPROD
inline bool has_dotprod() {
#if defined(__ARM_FEATURE_DOTPROD)
  return true;  // the program would not run without it
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) >> 20) & 1;  // HWCAP_ASIMDDP
#elif defined(__APPLE__)
  int found = 0;
  std::size_t size = sizeof found;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &found, &size, nullptr, 0) == 0 && found != 0;
#else
  return false;
#endif
}
#endif

// What the CPU reports and the operating system keeps between threads.
inline bool has_isa(Isa isa) {
  if (isa == Isa::baseline) return true;
#if ESPDL_X86
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case Isa::avx2: return avx2;
    case Isa::avxvnni: {
      // CPUID leaf 7, subleaf 1, EAX bit 4; older compilers do not know its name.
      unsigned a = 7, b = 0, c = 1, d = 0;
      if (!avx2) return false;
      __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
      return (a >> 4) & 1;
    }
    case Isa::avx512: return avx512;
    case Isa::avx512vnni: return avx512 && __builtin_cpu_supports("avx512vnni");
    default: return false;
  }
#else
#if ESPDL_ARM64
  if (isa == Isa::neon) return true;
#endif
#if ESPDL_DOTPROD
  if (isa == Isa::dotprod) return has_dotprod();
#endif
  return false;
#endif
}

inline Isa widest_isa() {
  Isa widest = Isa::baseline;
  for (const Isa isa : kIsas) {
    if (has_isa(isa)) widest = isa;
  }
  return widest;
}

// The instruction set of that name. Throws where there is none of that name or this machine lacks it.
inline Isa find_isa(const std::string& name) {
  std::string known;
  for (const Isa isa : kIsas) {
    if (!has_isa(isa)) continue;
    if (name == isa_name(isa)) return isa;
    known += std::string(known.empty() ? "" : ", ") + isa_name(isa);
  }
  throw std::runtime_error("ESPDL_ISA=" + name + " is not an instruction set of this machine; it has " + known);
}

// The one the environment variable ESPDL_ISA names, else the widest.
inline Isa choose_isa() {
  const char* wanted = std::getenv("ESPDL_ISA");
  return wanted == nullptr || *wanted == '\0' ? widest_isa() : find_isa(wanted);
}

// Set when the module is loaded, and by set_isa. Kernels that are already bound keep theirs.
inline Isa isa = Isa::baseline;

}  // namespace espdl
