// AMX tile registers for the scope of a kernel: 0 to 3 hold 16 x 16 results, 4 and 5 the left operand
// (rows), 6 and 7 the right one (k in steps of 4 bytes, each of 16 columns). All rows have 64 bytes.
#pragma once

#include <cstdint>

namespace lmdeploy::cpu {
namespace {

class TileScope {
 public:
  // Rows of the left operand and of the results, at most 16; the right operand has 16.
  explicit TileScope(int left_rows) {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {};
    } config;
    for (int tile = 0; tile < 8; ++tile) {
      config.rows[tile] = static_cast<uint8_t>(tile < 6 ? left_rows : 16);
    }
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  ~TileScope() { asm volatile("tilerelease"); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

// GCC 12's intrinsics take no template arguments as tile numbers and do not tell the compiler which
// memory is read, so these are the instructions themselves.
template <int Tile>
[[gnu::always_inline]] inline void tile_zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(Tile));
}
template <int Tile>
[[gnu::always_inline]] inline void tile_load(const void* from, int64_t stride) {
  asm volatile("tileloadd (%1,%2), %%tmm%c0" : : "i"(Tile), "r"(from), "r"(stride) : "memory");
}
// The same of data read once: it does not drive others from the first-level cache.
template <int Tile>
[[gnu::always_inline]] inline void tile_stream(const void* from, int64_t stride) {
  asm volatile("tileloaddt1 (%1,%2), %%tmm%c0" : : "i"(Tile), "r"(from), "r"(stride) : "memory");
}
template <int Tile>
[[gnu::always_inline]] inline void tile_store(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2)" : : "i"(Tile), "r"(to), "r"(stride) : "memory");
}
// result += left * right, of pairs of bf16 to fp32: even and odd k are summed apart and then added to
// the result.
template <int Result, int Left, int Right>
[[gnu::always_inline]] inline void tile_dot_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Result), "i"(Left), "i"(Right));
}

// Tiles 0 to 3 += left tiles 4 and 5 times right tiles 6 and 7; with one tile on a side, those of it.
template <int Lefts, int Rights>
[[gnu::always_inline]] inline void tile_products_bf16() {
  tile_dot_bf16<0, 4, 6>();
  if constexpr (Rights == 2) tile_dot_bf16<1, 4, 7>();
  if constexpr (Lefts == 2) tile_dot_bf16<2, 5, 6>();
  if constexpr (Lefts == 2 && Rights == 2) tile_dot_bf16<3, 5, 7>();
}

}  // namespace
}  // namespace lmdeploy::cpu
