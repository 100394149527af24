// Compiling a part of a file for an instruction set: ESPDL_TARGET_BEGIN("avx2") ... ESPDL_TARGET_END. Headers of the standard library go in
// front of it: what they define must not be compiled for a CPU that may not be there.
#pragma once

#define ESPDL_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define ESPDL_TARGET_BEGIN(isa) ESPDL_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define ESPDL_TARGET_END _Pragma("clang attribute pop")
#else
#define ESPDL_TARGET_BEGIN(isa) _Pragma("GCC push_options") ESPDL_PRAGMA(GCC target(isa))
#define ESPDL_TARGET_END _Pragma("GCC pop_options")
#endif
