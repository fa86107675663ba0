// Sampling, one row a choice. Order (DESIGN 3): grammar mask, repetition / presence / frequency
// penalties, logit bias, bad words, min length, temperature, top-k, top-p, min-p, draw.
// Draws depend on (seed, position) alone: uniform = hash_random(seed, position) (base/random.h), so
// that a row's token never depends on its company.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/ctx.h"
#include "kernels/sampled_token.h"

namespace lmdeploy {

// A token with a value: logit bias, or a count of earlier occurrences.
struct TokenBias {
  int32_t token;
  float bias;
};
struct TokenCount {
  int32_t token;
  int32_t in_prompt;  // occurrences in the prompt
  int32_t generated;  // occurrences in the generated text
};

// What one row asks for. Spans are borrowed for the call. The defaults sample from the plain softmax.
struct SamplingRow {
  bool greedy = false;             // arg max after masks and penalties; ties: lowest id
  float temperature = 1.0f;        // at most 1e-6 is greedy
  int32_t top_k = 0;               // 0: off
  float top_p = 1.0f;              // keeps the fewest tokens, most likely first, whose sum reaches top_p
  float min_p = 0.0f;              // keeps tokens with p >= min_p * max p
  float repetition_penalty = 1.0f; // seen in prompt or text: logit < 0 ? logit * p : logit / p
  float presence_penalty = 0.0f;   // logit -= p for tokens seen in the generated text
  float frequency_penalty = 0.0f;  // logit -= p * count in the generated text
  uint64_t seed = 0;               // of this choice (request seed + choice index)
  int64_t position = 0;            // of the token being drawn
  std::span<const TokenCount> seen;
  std::span<const TokenBias> bias;
  std::span<const int32_t> banned;       // bad words of one token; end ids while below the minimum length
  std::span<const uint32_t> allowed_mask;  // bit per token, empty: all allowed (grammar)
  int32_t logprobs = 0;            // most likely tokens to report, 0..20; -1: not even the chosen one
};

// logits f32 [R, V], changed in place. rows.size() == out.size() == R. Without sorting the vocabulary.
void sample(Ctx& ctx, const TensorView& logits, std::span<const SamplingRow> rows,
            std::span<SampledToken> out);

// Natural-log probability of targets[r] under row r of the logits; f32 [R, V] unchanged.
void token_logprobs(Ctx& ctx, const TensorView& logits, std::span<const int32_t> targets,
                    std::span<float> out);

}  // namespace lmdeploy
