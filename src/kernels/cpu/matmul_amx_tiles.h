// AMX tile registers for the scope of a kernel: 0 and 1 hold 16 x 16 results, 4 and 5 rows of x, 6 and
// 7 weights.
#pragma once

#include <cstdint>

namespace lmdeploy::cpu {
namespace {

struct TileShape {
  int rows;
  int row_bytes;
};

class TileScope {
 public:
  TileScope(TileShape x, TileShape weight) {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64};
      uint8_t rows[16] = {16, 16};
    } config;
    for (int tile = 4; tile < 8; ++tile) {
      const TileShape shape = tile < 6 ? x : weight;
      config.row_bytes[tile] = static_cast<uint16_t>(shape.row_bytes);
      config.rows[tile] = static_cast<uint8_t>(shape.rows);
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
template <int Tile>
[[gnu::always_inline]] inline void tile_store(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2)" : : "i"(Tile), "r"(to), "r"(stride) : "memory");
}
// result += x * weight: signed bytes to int32.
template <int Result, int X, int Weight>
[[gnu::always_inline]] inline void tile_dot_int8() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Result), "i"(X), "i"(Weight));
}

}  // namespace
}  // namespace lmdeploy::cpu
