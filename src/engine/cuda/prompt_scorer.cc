#include "engine/cuda/prompt_scorer.h"

#include <algorithm>
#include <cstring>

namespace lmdeploy::cuda {

namespace {
constexpr size_t kTargetBytes = kScoredRows * sizeof(int32_t);
constexpr size_t kResultBytes = kScoredRows * sizeof(SampledToken);
}  // namespace

PromptScorer::PromptScorer(Device device, int64_t vocab)
    : vocab_(vocab),
      targets_(Shape{kScoredRows}, DType::kI32, device),
      results_(Shape{static_cast<int64_t>(kResultBytes)}, DType::kU8, device) {}

Status PromptScorer::allocate() {
  const size_t row_bytes = static_cast<size_t>(vocab_) * sizeof(float);
  ASSIGN_OR_RETURN(staging_,
                   PinnedMemory::allocate(std::max(kTargetBytes + kResultBytes, row_bytes)));
  return {};
}

void PromptScorer::score(Ctx& ctx, SequenceState& state, int64_t first_position,
                         const TensorView& logits) {
  const auto last = static_cast<int64_t>(state.request->prompt.size()) - 1 - first_position;
  if (last >= 0 && last < logits.dim(0) && state.request->last_logits) {
    const size_t bytes = static_cast<size_t>(vocab_) * sizeof(float);
    ctx.stream.copy(staging_.data(), logits.row<float>(last), bytes);
    ctx.stream.synchronize();
    state.scores.last_logits.resize(static_cast<size_t>(vocab_));
    std::memcpy(state.scores.last_logits.data(), staging_.data(), bytes);
  }
  const int64_t scored = std::min(logits.dim(0), last);
  if (scored > 0 && state.request->prompt_logprobs) {
    score_tokens(ctx, state, first_position, logits.rows(0, scored));
  }
}

void PromptScorer::score_tokens(Ctx& ctx, SequenceState& state, int64_t first_position,
                                const TensorView& logits) {
  const int64_t rows = logits.dim(0);
  const int64_t behind = first_position + 1;  // the first token that is scored
  std::memcpy(staging_.data(), state.request->prompt.data() + behind,
              static_cast<size_t>(rows) * sizeof(int32_t));
  ctx.stream.copy(targets_.view().raw(), staging_.data(),
                  static_cast<size_t>(rows) * sizeof(int32_t));
  auto* results = reinterpret_cast<SampledToken*>(results_.data<std::byte>());
  const int32_t most_likely = std::max(state.request->sampling.logprobs, 0);
  device_score(ctx, logits, targets_.view().rows(0, rows), most_likely, results);
  std::byte* staged = staging_.data() + kTargetBytes;
  ctx.stream.copy(staged, results, static_cast<size_t>(rows) * sizeof(SampledToken));
  ctx.stream.synchronize();
  for (int64_t i = 0; i < rows; ++i) {
    SampledToken score;
    std::memcpy(&score, staged + static_cast<size_t>(i) * sizeof(score), sizeof(score));
    TokenOutput& out = state.scores.tokens[static_cast<size_t>(behind + i)];
    out.logprob = score.logprob;
    out.top.assign(score.top, score.top + score.top_count);
  }
}

}  // namespace lmdeploy::cuda
