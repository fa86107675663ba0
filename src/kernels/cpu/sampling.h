// Sampling on the CPU. Two samplers share the sparse edits and the definition below:
//
//   The kept set is decided on p = softmax(logits / temperature) as kernels/sampling.h says; equal
//   probabilities rank by lower id. The draw walks the kept tokens in id order until their running
//   sum passes uniform * total. NaN counts as -inf; where +inf occurs, the tokens that have it
//   share all the probability.
#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"
#include "kernels/sampling.h"
#include "tensor/arena.h"

namespace lmdeploy::cpu {

// A sum reaches top_p when it is this close (relative): top_p is a rounded float, and four tokens
// of 0.2 must reach 0.8.
constexpr double kTopPSlack = 1e-6;

inline double draw_uniform(const SamplingRow& row) {
  return uniform_from_bits(hash_random(row.seed, static_cast<uint64_t>(row.position)));
}
// Below any useful temperature 1 / temperature overflows.
inline bool is_greedy(const SamplingRow& row) { return row.greedy || !(row.temperature > 1e-6f); }

// Penalties, bias and banned tokens of one row (all but the grammar mask, with which they commute).
void edit_listed_tokens(float* logits, int64_t vocab, const SamplingRow& row);

// The plain sampler is the truth: a full sort, fp64, one row at a time. `logits` is edited in
// place.
struct PlainScratch {
  double* probability;  // [vocab]
  int32_t* order;       // [vocab]
};
// Edits the logits and leaves each token's probability of being drawn in scratch.probability. False
// when no token is possible.
bool plain_distribution(float* logits, int64_t vocab, const SamplingRow& row, PlainScratch scratch);
void sample_plain(CpuStream& stream, Arena& scratch, const TensorView& logits,
                  std::span<const SamplingRow> rows, std::span<SampledToken> out);
// log softmax(logits)[token], NaN and +inf as above.
double plain_logprob(const float* logits, int64_t vocab, int32_t token);

// The fast sampler of AVX2 and AVX-512 machines: no sort of the vocabulary. One thread does a row.
void sample(CpuStream& stream, Arena& scratch, const TensorView& logits,
            std::span<const SamplingRow> rows, std::span<SampledToken> out);
void token_logprobs(CpuStream& stream, const TensorView& logits, std::span<const int32_t> targets,
                    std::span<float> out);

}  // namespace lmdeploy::cpu
