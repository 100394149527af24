// arm64 without instructions for dot products: bytes are multiplied to words, which are added in pairs.
#include "mac_isa.hpp"

#if ESPDL_ARM64
#include <arm_neon.h>

namespace espdl {
namespace {
#include "mac_body.hpp"
#include "mac_neon.hpp"

// Of a group the first two bytes, then the last two. One product of bytes fits 16 bits whatever they are, two would not: -128 * -128 twice.
struct LongBytes : NeonVector {
  static constexpr bool tall = false;
  static constexpr bool apart = true;

  static I broadcast(const void* p) {
    alignas(16) static constexpr std::uint8_t order[16] = {0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3};
    return vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(load_group(p)), vld1q_u8(order)));
  }
  static I multiply(I sum, I inputs, I weights) {
    const int8x16_t x = vreinterpretq_s8_s32(inputs), w = vreinterpretq_s8_s32(weights);
    return vpadalq_s16(vpadalq_s16(sum, vmull_s8(vget_low_s8(x), vget_low_s8(w))), vmull_high_s8(x, w));
  }
  static I dot_bytes(I sum, I group, I weights) { return multiply(sum, group, weights); }

  static I weave(uint8x16_t ab, uint8x16_t cd, bool high) {
    const auto first = vreinterpretq_u64_u8(ab), second = vreinterpretq_u64_u8(cd);
    return vreinterpretq_s32_u64(high ? vzip2q_u64(first, second) : vzip1q_u64(first, second));
  }
};

constexpr MacIsa functions() { return neon_functions<LongBytes>(Isa::neon); }

}  // namespace

constinit const MacIsa kMacNeon = functions();

}  // namespace espdl
#endif
