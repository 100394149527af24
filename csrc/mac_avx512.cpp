// AVX-512 without VNNI: int8 is widened to 16 bits and multiplied with vpmaddwd.
#include "mac_isa.hpp"

#if ESPDL_X86
#include <immintrin.h>

#include "target.hpp"

ESPDL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
namespace espdl {
namespace {
#include "mac_body.hpp"
#include "mac_avx512.hpp"

using V = Wide<false>;

constexpr MacIsa functions() {
  MacIsa table = wide_functions<V>(Isa::avx512);
  table.word_tiles[static_cast<int>(Store::int8)] = wide_tiles<V, false, Store::int8>();
  return table;
}

}  // namespace

constinit const MacIsa kMacAvx512 = functions();

}  // namespace espdl
ESPDL_TARGET_END
#endif
