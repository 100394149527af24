// AVX2 with the VNNI instructions of 256 bits.
#include "mac_isa.hpp"

#if ESPDL_X86
#include <immintrin.h>

#include "target.hpp"

ESPDL_TARGET_BEGIN("avx2,avxvnni")
namespace espdl {
namespace {
#include "mac_body.hpp"

struct DotVnni {
  static __m256i dot_bytes(__m256i sum, __m256i x, __m256i w) { return _mm256_dpbusd_avx_epi32(sum, x, w); }
  static __m256i dot_words(__m256i sum, __m256i x, __m256i w) { return _mm256_dpwssd_avx_epi32(sum, x, w); }
};

#include "mac_avx2.hpp"

using V = Narrow<DotVnni>;

constexpr MacIsa functions() {
  MacIsa table = narrow_functions<V>(Isa::avxvnni);
  table.bytes = true;
  table.dots = &dots<V, true, 8>;
  table.byte_tiles[static_cast<int>(Store::int8)] = narrow_tiles<V, true, Store::int8>();
  table.byte_tiles[static_cast<int>(Store::sums)] = narrow_tiles<V, true, Store::sums>();
  Tiles& wrapped = table.word_tiles[static_cast<int>(Store::wrapped)];
  add_wrapped_tiles<V, V, 2, 1, 2, 3, 4, 5, 6>(wrapped);
  add_wrapped_tiles<V, V, 4, 1, 2, 3>(wrapped);
  table.rows[4] = 3;
  table.gather_wrapped = &gather_wrapped<V>;
  table.depthwise_row = &depthwise_row<V>;
  return table;
}

}  // namespace

constinit const MacIsa kMacAvxVnni = functions();

}  // namespace espdl
ESPDL_TARGET_END
#endif
