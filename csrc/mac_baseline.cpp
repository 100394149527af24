// Plain C++, for every machine.
#include "mac_isa.hpp"

namespace espdl {
namespace {
#include "mac_body.hpp"

struct Plain {
  static constexpr int lanes = 8;
  static constexpr int byte_zero = 128;
  static constexpr std::size_t vector_bytes = 16;
  static constexpr bool has_flip = false;
  static constexpr bool has_guard = false;
  struct I {
    std::int32_t of[lanes];
  };

  template <class Kind>
  static void gather_runs(const typename Kind::In* const* rows, const std::size_t* steps, std::size_t height, std::size_t size,
                          std::size_t count, std::uint8_t* panel, std::size_t panel_stride) {
    gather_runs_any<Plain, Kind>(rows, steps, height, size, count, panel, panel_stride);
  }

  template <typename Element>
  static std::int32_t element(const void* p, int index) {
    Element value;
    __builtin_memcpy(&value, static_cast<const std::uint8_t*>(p) + index * sizeof(Element), sizeof(Element));
    return value;
  }
  static I load(const void* p) {
    I value;
    __builtin_memcpy(&value, p, sizeof value);
    return value;
  }
  static I hidden(I value) {
#if defined(__GNUC__)
    __asm__ volatile("" : "+m"(value));
#endif
    return value;
  }
  static I broadcast(const void* p) {
    I value;
    for (int i = 0; i < lanes; ++i) __builtin_memcpy(&value.of[i], p, 4);
    return value;
  }
  static std::int32_t low(std::int32_t pair) { return static_cast<std::int16_t>(pair & 0xffff); }
  static std::int32_t high(std::int32_t pair) { return pair >> 16; }
  static I dot_bytes(I sum, I, I) { return sum; }
  static I dot_words(I sum, I x, I w) {
    for (int i = 0; i < lanes; ++i) {
      const std::uint32_t a = static_cast<std::uint32_t>(low(x.of[i]) * low(w.of[i]));
      const std::uint32_t b = static_cast<std::uint32_t>(high(x.of[i]) * high(w.of[i]));
      sum.of[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum.of[i]) + a + b);
    }
    return sum;
  }
  static I finish(I sum, const std::int32_t* shift, const std::int32_t* mask, std::int32_t low) {
    for (int i = 0; i < lanes; ++i) {
      std::int32_t value = sum.of[i] >> shift[i];
      if ((sum.of[i] & mask[i]) == 0) value &= -2;
      sum.of[i] = value < low ? low : value;
    }
    return sum;
  }
  static int int8_order(int, int vector, int lane) { return lanes * vector + lane; }

  template <typename Out>
  static void store(I value, Out* out, std::size_t first, std::size_t channels, std::int32_t most) {
    for (std::size_t i = 0; i < lanes && first + i < channels; ++i) {
      out[first + i] = static_cast<Out>(value.of[i] > most ? most : value.of[i]);
    }
  }
  template <int nv>
  static void store_int8(const I (&values)[nv], std::int8_t* out, std::size_t channels) {
    for (int v = 0; v < nv; ++v) store(values[v], out, v * lanes, channels, 127);
  }
  static void store_int16(I value, std::int16_t* out, std::size_t first, std::size_t channels) {
    store(value, out, first, channels, 32767);
  }
  static void store_sums(I value, std::int32_t* out, std::size_t first, std::size_t channels) {
    store(value, out, first, channels, 0x7fffffff);
  }
};

template <Store store>
constexpr Tiles plain_tiles() {
  Tiles tiles;
  add_tiles<Plain, false, store, 1, 1, 2, 4>(tiles);
  return tiles;
}

constexpr MacIsa functions() {
  MacIsa table = common_functions<Plain>(Isa::baseline);
  table.vectors = 1;
  table.rows[1] = 4;
  table.word_tiles[static_cast<int>(Store::int8)] = plain_tiles<Store::int8>();
  table.word_tiles[static_cast<int>(Store::int16)] = plain_tiles<Store::int16>();
  table.word_tiles[static_cast<int>(Store::sums)] = plain_tiles<Store::sums>();
  return table;
}

}  // namespace

constinit const MacIsa kMacBaseline = functions();

}  // namespace espdl
