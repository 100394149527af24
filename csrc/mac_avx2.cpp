// AVX2: int8 is widened to 16 bits and multiplied with vpmaddwd.
#include "mac_isa.hpp"

#if ESPDL_X86
#include <immintrin.h>

#include "target.hpp"

ESPDL_TARGET_BEGIN("avx2")
namespace espdl {
namespace {
#include "mac_body.hpp"

struct DotWords {
  static __m256i dot_bytes(__m256i sum, __m256i, __m256i) { return sum; }
  static __m256i dot_words(__m256i sum, __m256i x, __m256i w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
};

#include "mac_avx2.hpp"

using V = Narrow<DotWords>;

constexpr MacIsa functions() {
  MacIsa table = narrow_functions<V>(Isa::avx2);
  table.word_tiles[static_cast<int>(Store::int8)] = narrow_tiles<V, false, Store::int8>();
  return table;
}

}  // namespace

constinit const MacIsa kMacAvx2 = functions();

}  // namespace espdl
ESPDL_TARGET_END
#endif
