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
  Tiles& wrapped = table.word_tiles[static_cast<int>(Store::wrapped)];
  add_wrapped_tiles<V, V, 2, 1, 2, 4, 6, 8, 10, 12>(wrapped);
  add_wrapped_tiles<V, V, 4, 1, 2, 3, 4, 5, 6>(wrapped);
  table.gather_wrapped = &gather_wrapped<V>;
  table.depthwise_row = &depthwise_row<V>;
  return table;
}

}  // namespace

constinit const MacIsa kMacAvx512Vnni = functions();

}  // namespace espdl
ESPDL_TARGET_END
#endif
