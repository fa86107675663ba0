#include <cmath>

#include "kernels/cpu/sampling.h"

namespace lmdeploy::cpu {

void edit_listed_tokens(float* logits, int64_t vocab, const SamplingRow& row) {
  const auto inside = [vocab](int32_t token) { return token >= 0 && token < vocab; };
  for (const TokenCount& seen : row.seen) {
    if (!inside(seen.token)) continue;
    float& logit = logits[seen.token];
    if (seen.in_prompt + seen.generated > 0 && row.repetition_penalty != 1.0f) {
      logit = logit < 0 ? logit * row.repetition_penalty : logit / row.repetition_penalty;
    }
    if (seen.generated > 0) {
      logit -= row.presence_penalty;
      logit -= row.frequency_penalty * static_cast<float>(seen.generated);
    }
  }
  for (const TokenBias& bias : row.bias) {
    if (inside(bias.token)) logits[bias.token] += bias.bias;
  }
  for (int32_t token : row.banned) {
    if (inside(token)) logits[token] = -INFINITY;
  }
}

}  // namespace lmdeploy::cpu
