// The plain version, and what the operations of an instruction set V mean.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cpu/matmul_int8_panels.h"
#include "kernels/cpu/matmul_plain_panels.h"

namespace lmdeploy::cpu {

namespace {

struct Scalar {
  static constexpr int kLanes = 16;     // rows of a panel in one vector
  static constexpr int kMaxRows = 4;    // rows of x in the largest tile
  // Whether add_dots<8> takes its codes as code - 128 instead of relying on QuantizedRows::start.
  static constexpr bool kSignedBytes = false;
  struct Codes { uint8_t byte[4 * kLanes]; };
  struct Int { int32_t lane[kLanes]; };
  struct Float { float lane[kLanes]; };

  template <class F>
  static Float each(F f) {
    Float out;
    for (int n = 0; n < kLanes; ++n) out.lane[n] = f(n);
    return out;
  }
  template <class T>
  static Float convert(const void* from) {
    return each([&](int n) {
      T value;
      std::memcpy(&value, static_cast<const char*>(from) + n * sizeof(T), sizeof(T));
      if constexpr (std::is_integral_v<T>) return static_cast<float>(value);
      else return to_float(value);
    });
  }

  static Float zero() { return Float{}; }
  static Float set1(float x) { return each([x](int) { return x; }); }
  static Int set1(int32_t x) {
    Int out;
    for (int32_t& lane : out.lane) lane = x;
    return out;
  }
  static Float mul(const Float& a, const Float& b) { return each([&](int n) { return a.lane[n] * b.lane[n]; }); }
  static Float add(const Float& a, const Float& b) { return each([&](int n) { return a.lane[n] + b.lane[n]; }); }
  static Float fma(const Float& a, const Float& b, const Float& c) {
    return each([&](int n) { return std::fma(a.lane[n], b.lane[n], c.lane[n]); });
  }
  static void store(float* to, const Float& x) { std::memcpy(to, x.lane, sizeof(x.lane)); }
  static Float bits_as_float(const Int& x) { return std::bit_cast<Float>(x); }

  static Float load_f32(const void* from) { return convert<float>(from); }
  static Float load_f16(const void* from) { return convert<f16>(from); }
  static Float load_i8(const void* from) { return convert<int8_t>(from); }
  // Element `odd` of pairs of bf16.
  static Float load_bf16(const void* from, int odd) {
    bf16 pairs[2 * kLanes];
    std::memcpy(pairs, from, sizeof(pairs));
    return each([&](int n) { return to_float(pairs[2 * n + odd]); });
  }

  static Codes load(const void* from) {
    Codes out;
    std::memcpy(out.byte, from, sizeof(out.byte));
    return out;
  }
  static Codes low_nibble(Codes x) {
    for (uint8_t& b : x.byte) b &= 15;
    return x;
  }
  static Codes high_nibble(Codes x) {
    for (uint8_t& b : x.byte) b >>= 4;
    return x;
  }
  // Bit s of `high` becomes bit 4 of step s.
  static void add_bit_planes(Codes (&codes)[8], const Codes& high) {
    for (int s = 0; s < 8; ++s) {
      for (int b = 0; b < 4 * kLanes; ++b) codes[s].byte[b] |= static_cast<uint8_t>((high.byte[b] >> s & 1) << 4);
    }
  }
  // Bits 2f and 2f + 1 of `first` (steps 0-3) and `second` (4-7) become bits 4 and 5 of step f.
  static void add_bit_pairs(Codes (&codes)[8], const Codes& first, const Codes& second) {
    for (int s = 0; s < 8; ++s) {
      const Codes& high = s < 4 ? first : second;
      for (int b = 0; b < 4 * kLanes; ++b) {
        codes[s].byte[b] |= static_cast<uint8_t>((high.byte[b] >> s % 4 * 2 & 3) << 4);
      }
    }
  }
  // Adds to sum[m] the products of Steps * 4 codes (below 2^Bits) and as many elements of x, M rows
  // 32 bytes apart.
  template <int Bits, int Steps, int M>
  static void add_dots(const Codes* codes, const int8_t* x, Int (&sum)[M]) {
    for (int m = 0; m < M; ++m) {
      for (int n = 0; n < kLanes; ++n) {
        for (int i = 0; i < 4 * Steps; ++i) {
          sum[m].lane[n] += codes[i / 4].byte[4 * n + i % 4] * x[32 * m + i];
        }
      }
    }
  }
};

}  // namespace

void int8_panels_scalar(const PanelMatrix& w, const QuantizedRows& x, const MatmulOutput& out,
                        int64_t begin, int64_t end) {
  multiply_int8<Scalar>(w, x, out, begin, end);
}

void plain_panels_scalar(const PanelMatrix& w, const PlainRows& x, const MatmulOutput& out, int64_t begin,
                         int64_t end) {
  multiply_plain<Scalar>(w, x, out, begin, end);
}

}  // namespace lmdeploy::cpu
