// Counter-based random numbers: a value depends on its key and counter alone, so draws need no
// state and no order. Used by the sampler (key = seed, counter = position), by `--load-format
// dummy` and by the test checkpoints (key = hash of the tensor's name, counter = element index).
// tools/hash_random.py is the same in Python.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

namespace lmdeploy {

// SplitMix64's finalizer.
inline uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

inline uint64_t hash_random(uint64_t key, uint64_t counter) { return mix64(mix64(key) ^ counter); }

// FNV-1a.
inline uint64_t hash_name(std::string_view name) {
  uint64_t h = 0xCBF29CE484222325ull;
  for (unsigned char c : name) h = (h ^ c) * 0x100000001B3ull;
  return h;
}

// Uniform in (0, 1): 53 bits, never 0 or 1.
inline double uniform_from_bits(uint64_t bits) {
  return (static_cast<double>(bits >> 11) + 0.5) * 0x1.0p-53;
}

// Standard normal (Box-Muller, cosine branch) of a (key, counter).
inline double hash_normal(uint64_t key, uint64_t counter) {
  const double u = uniform_from_bits(hash_random(key, 2 * counter));
  const double v = uniform_from_bits(hash_random(key, 2 * counter + 1));
  return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586476925 * v);
}

}  // namespace lmdeploy
