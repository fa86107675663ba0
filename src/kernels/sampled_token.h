// SampledToken: what sampling gives for a row. Plain data, the same in a host's and a device's
// memory.
#pragma once

#include <cstdint>

namespace lmdeploy {

constexpr int32_t kMaxLogprobs = 20;

struct TokenLogprob {
  int32_t token;
  float logprob;
};

struct SampledToken {
  int32_t token = -1;  // -1: no finite logit (reason `error`)
  float logprob = 0;   // log-softmax of the raw logits at `token`, when asked for
  int32_t top_count = 0;
  TokenLogprob top[kMaxLogprobs];  // the first top_count: most likely first, of the raw logits
};

}  // namespace lmdeploy
