// Which tokens survive a filter, without sorting them.
#pragma once

#include <cstdint>
#include <span>

namespace lmdeploy::cpu {

// Keeps the `k` candidates with the largest values (ties: lower id) of `values`, by id ascending.
// `ids` is ascending; its first elements become the result, whose length is returned.
int64_t keep_largest(const float* values, std::span<int32_t> ids, int64_t k);

// The least weight that belongs to the top-p set, and how many candidates of exactly that weight
// do (lower ids first).
struct MassCut {
  float weight;
  int64_t ties;
};

// The fewest of the weights (>= 0, at least one > 0), largest first, whose sum reaches `wanted`: a
// radix selection on the bits of the floats, three passes at most.
MassCut cut_by_mass(std::span<const float> weights, double wanted);

}  // namespace lmdeploy::cpu
