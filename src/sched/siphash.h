// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed 64-bit hash of short messages whose
// collisions cannot be found without the key. Words go in one at a time.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace lmdeploy {

class SipHash {
 public:
  explicit SipHash(const std::array<uint64_t, 2>& key)
      : v0_(key[0] ^ 0x736F6D6570736575ull),
        v1_(key[1] ^ 0x646F72616E646F6Dull),
        v2_(key[0] ^ 0x6C7967656E657261ull),
        v3_(key[1] ^ 0x7465646279746573ull) {}

  // Eight bytes of the message, little-endian.
  void add(uint64_t word) {
    v3_ ^= word;
    round();
    round();
    v0_ ^= word;
    ++words_;
  }

  // The hash of the message, `tail_bytes` (0 to 7) more bytes of it being the low bytes of `tail`.
  uint64_t finish(uint64_t tail = 0, int tail_bytes = 0) {
    add((words_ * 8 + static_cast<uint64_t>(tail_bytes)) << 56 | tail);
    v2_ ^= 0xFF;
    for (int i = 0; i < 4; ++i) round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  void round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  uint64_t v0_, v1_, v2_, v3_;
  uint64_t words_ = 0;
};

}  // namespace lmdeploy
