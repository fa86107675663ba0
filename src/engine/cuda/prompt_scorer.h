// PromptScorer: logprobs of prompt tokens and a prompt's last logits, for the requests that ask for
// them. Waits for the device: such requests are measurements, not traffic.
#pragma once

#include "engine/sequence_state.h"
#include "kernels/device_sampling.h"
#include "tensor/cuda/pinned.h"
#include "tensor/cuda/stream.h"

namespace lmdeploy::cuda {

class PromptScorer {
 public:
  PromptScorer(Device device, int64_t vocab);
  Status allocate();

  // Adds to state.scores what the logits (f32 [at most kScoredRows, vocab], on the device) say: row
  // i is of the token at first_position + i and scores the one behind it.
  void score(Ctx& ctx, SequenceState& state, int64_t first_position, const TensorView& logits);

 private:
  void score_tokens(Ctx& ctx, SequenceState& state, int64_t first_position,
                    const TensorView& logits);

  const int64_t vocab_;
  Tensor targets_;  // i32 [kScoredRows]
  Tensor results_;  // SampledToken [kScoredRows]
  PinnedMemory staging_;
};

}  // namespace lmdeploy::cuda
