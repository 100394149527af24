// arm64 with sdot.
#include "mac_isa.hpp"

#if ESPDL_DOTPROD
#include <arm_neon.h>

#include "target.hpp"

// Nothing to do where the whole program is compiled for such CPUs.
#ifdef __ARM_FEATURE_DOTPROD
#define ESPDL_DOTPROD_BEGIN
#define ESPDL_DOTPROD_END
#else
#define ESPDL_DOTPROD_BEGIN ESPDL_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#define ESPDL_DOTPROD_END ESPDL_TARGET_END
#endif

ESPDL_DOTPROD_BEGIN
namespace espdl {
namespace {
#include "mac_body.hpp"
#include "mac_neon.hpp"

struct DotBytes : NeonVector {
  static constexpr bool tall = true;
  static constexpr bool apart = false;

  static I broadcast(const void* p) { return load_group(p); }
  static I dot_bytes(I sum, I group, I weights) {
    return vdotq_laneq_s32(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(group), 0);
  }
  static I multiply(I sum, I inputs, I weights) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(inputs), vreinterpretq_s8_s32(weights));
  }

  static I weave(uint8x16_t ab, uint8x16_t cd, bool high) {
    const auto first = vreinterpretq_u16_u8(ab), second = vreinterpretq_u16_u8(cd);
    return vreinterpretq_s32_u16(high ? vzip2q_u16(first, second) : vzip1q_u16(first, second));
  }
};

constexpr MacIsa functions() {
  MacIsa table = neon_functions<DotBytes>(Isa::dotprod);
  Tiles& wrapped = table.word_tiles[static_cast<int>(Store::wrapped)];
  add_wrapped_tiles<NeonWords, DotBytes, 2, 1, 2, 4, 6, 8, 12>(wrapped);
  add_wrapped_tiles<NeonWords, DotBytes, 4, 1, 2, 3, 4, 5, 6>(wrapped);
  table.gather_wrapped = &gather_wrapped<NeonWords>;
  return table;
}

}  // namespace

constinit const MacIsa kMacDotprod = functions();

}  // namespace espdl
ESPDL_DOTPROD_END
#endif
