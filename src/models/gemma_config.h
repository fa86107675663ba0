// What the configurations of Gemma 1, 2 and 3 have in common: norms that hold w - 1, embeddings times
// sqrt(hidden), tanh GELU, tied embeddings; a scale of attention and soft caps of their own from 2 on.
#pragma once

#include "models/decoder_lm.h"

namespace lmdeploy {

// What a Gemma class assumes for keys that are left out.
struct GemmaDefaults {
  double rope_theta = 10000.0;
  double attention_scalar = 0;  // attention is scaled by 1 / sqrt(scalar); 0: by the head dimension
  double attention_softcap = 0, logit_softcap = 0;  // 0: off, as a key that is null
};

struct GemmaConfig {
  DecoderConfig decoder;
  float attention_scale = 0, attention_softcap = 0, logit_softcap = 0;

  NormConfig norm(int64_t size) const {
    return {.size = size, .eps = decoder.norm_eps, .plus_one = true};
  }
  // With that scale and soft cap.
  AttentionConfig attention() const;
  // With one rotary embedding.
  DecoderParts parts(std::vector<int> windows) const;
};

// Problems go to `reader`.
GemmaConfig read_gemma_config(ConfigReader& reader, const GemmaDefaults& defaults = {});

// kUnsupported on a GPU in float16, whose largest number the activations of Gemma 2 and 3 pass.
Status refuse_f16(const BuildOptions& options, const char* model);

}  // namespace lmdeploy
