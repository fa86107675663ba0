// The counter-based random numbers of base/random.h on the device: the same bits.
#pragma once

#include <cstdint>

namespace lmdeploy::cuda {

__device__ __forceinline__ uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

__device__ __forceinline__ uint64_t hash_random(uint64_t key, uint64_t counter) {
  return mix64(mix64(key) ^ counter);
}

__device__ __forceinline__ double uniform_from_bits(uint64_t bits) {
  return (static_cast<double>(bits >> 11) + 0.5) * 0x1.0p-53;
}

}  // namespace lmdeploy::cuda
