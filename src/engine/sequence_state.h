// SequenceState: what a runner remembers of a sequence between its steps.
#pragma once

#include <cstdint>

#include "engine/model_runner.h"
#include "kernels/ctx.h"

namespace lmdeploy {

struct SequenceState {
  explicit SequenceState(const ModelRunner::Sequence& sequence);

  SamplingState sampling;
  const GenerateRequest* request;
  int32_t rope_length;  // of the prompt: fixes rotations that depend on the length
  bool score_prompt;
  PromptScores scores;
};

// Rows of prompt logits that are in memory at once.
constexpr int64_t kScoredRows = 32;

// Adds what `logits` (f32 [rows, vocab], CPU memory) say of the prompt: row i is of the token at
// first_position + i and scores the one behind it. `cpu` is a context of the CPU; logits are
// overwritten.
void score_prompt(Ctx& cpu, SequenceState& state, int64_t first_position, const TensorView& logits);

}  // namespace lmdeploy
