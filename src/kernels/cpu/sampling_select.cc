#include "kernels/cpu/sampling_select.h"

#include <algorithm>
#include <array>
#include <bit>

namespace lmdeploy::cpu {

int64_t keep_largest(const float* values, std::span<int32_t> ids, int64_t k) {
  if (static_cast<int64_t>(ids.size()) <= k) return static_cast<int64_t>(ids.size());
  std::nth_element(ids.begin(), ids.begin() + (k - 1), ids.end(), [&](int32_t a, int32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  });
  std::sort(ids.begin(), ids.begin() + k);
  return k;
}

namespace {

// The bits of a float >= 0 in three digits, most significant first; the sign bit is 0, so that the
// first digit has 11 bits and the others 10.
constexpr std::array<int, 3> kDigitShift = {20, 10, 0};
constexpr size_t kBins = 2048;

struct Bin {
  double mass = 0;
  int64_t count = 0;
};

// The bin in which the running sum, largest weights first, reaches `wanted` (the last filled one
// when rounding keeps it from that). `sum` goes from the mass above all bins to that above this
// one.
uint32_t reaching_bin(std::span<const Bin> bins, double wanted, double& sum) {
  uint32_t last = 0;
  double above_last = sum;
  for (size_t i = bins.size(); i-- > 0;) {
    if (bins[i].count == 0) continue;
    last = static_cast<uint32_t>(i);
    above_last = sum;
    sum += bins[i].mass;
    if (sum >= wanted) break;
  }
  sum = above_last;
  return last;
}

}  // namespace

MassCut cut_by_mass(std::span<const float> weights, double wanted) {
  uint64_t prefix = 0;  // digits fixed so far: the cut lies among the weights that begin with them
  int prefix_shift = 32;
  double above = 0;  // mass of the weights larger than those
  int64_t ties = 0;
  std::array<Bin, kBins> bins;
  for (int shift : kDigitShift) {
    bins.fill({});
    const uint64_t digit_mask = (uint64_t{1} << (prefix_shift - shift)) - 1;
    for (float weight : weights) {
      const uint64_t bits = std::bit_cast<uint32_t>(weight);
      if (bits >> prefix_shift != prefix) continue;
      Bin& bin = bins[bits >> shift & digit_mask];
      bin.mass += weight;
      ++bin.count;
    }
    const uint32_t digit = reaching_bin(bins, wanted, above);
    prefix = prefix << (prefix_shift - shift) | digit;
    prefix_shift = shift;
    ties = bins[digit].count;
  }
  const float weight = std::bit_cast<float>(static_cast<uint32_t>(prefix));
  int64_t needed = 1;
  for (double sum = above + weight; needed < ties && sum < wanted; ++needed) sum += weight;
  return {weight, needed};
}

}  // namespace lmdeploy::cpu
