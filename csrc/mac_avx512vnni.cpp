// AVX-512 with vpdpbusd and vpdpwssd.
#include "mac_isa.hpp"

#if ESPDL_X86
#include <immintrin.h>

#include "target.hpp"

ESPDL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")
namespace espdl {
namespace {
#include "mac_body.hpp"
#include "mac_avx512.hpp"

using V = Wide<true>;

constexpr MacIsa functions() {
  MacIsa table = wide_functions<V>(Isa::avx512vnni);
  table.bytes = true;
  table.dots = &dots<V, true, 12>;
  table.byte_tiles[static_cast<int>(Store::int8)] = wide_tiles<V, true, Store::int8>();
  table.byte_tiles[static_cast<int>(Store::sums)] = wide_tiles<V, true, Store::sums>();
  table.depthwise_row = &depthwise_row<V>;
  return table;
}

}  // namespace

constinit const MacIsa kMacAvx512Vnni = functions();

}  // namespace espdl
ESPDL_TARGET_END
#endif
