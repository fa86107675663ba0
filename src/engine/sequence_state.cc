#include "engine/sequence_state.h"

#include <algorithm>
#include <limits>
#include <span>

namespace lmdeploy {

SequenceState::SequenceState(const ModelRunner::Sequence& sequence)
    : sampling(sequence.sampling, sequence.choice),
      request(sequence.request),
      rope_length(static_cast<int32_t>(sequence.request->prompt.size())),
      score_prompt(sequence.score_prompt) {
  if (!score_prompt) return;
  scores.tokens.resize(request->prompt.size());
  for (size_t i = 0; i < request->prompt.size(); ++i) scores.tokens[i].id = request->prompt[i];
  scores.tokens[0].logprob = std::numeric_limits<float>::quiet_NaN();
}

void score_prompt(Ctx& cpu, SequenceState& state, int64_t first_position,
                  const TensorView& logits) {
  const std::vector<int32_t>& prompt = state.request->prompt;
  const auto prompt_len = static_cast<int64_t>(prompt.size());
  const int64_t rows = logits.dim(0);
  const int64_t scored = std::min(rows, prompt_len - 1 - first_position);
  if (scored < rows && state.request->last_logits) {
    const float* last = logits.row<float>(prompt_len - 1 - first_position);
    state.scores.last_logits.assign(last, last + logits.dim(1));
  }
  if (scored <= 0 || !state.request->prompt_logprobs) return;
  const std::span<const int32_t> targets(prompt.data() + first_position + 1,
                                         static_cast<size_t>(scored));
  std::vector<float> logprobs(static_cast<size_t>(scored));
  token_logprobs(cpu, logits.rows(0, scored), targets, logprobs);
  TokenOutput* out = state.scores.tokens.data() + first_position + 1;
  for (int64_t i = 0; i < scored; ++i) out[i].logprob = logprobs[static_cast<size_t>(i)];
  if (state.request->sampling.logprobs <= 0) return;

  SamplingRow most_likely;
  most_likely.greedy = true;
  most_likely.logprobs = state.request->sampling.logprobs;
  const std::vector<SamplingRow> sampling(static_cast<size_t>(scored), most_likely);
  std::vector<SampledToken> tops(static_cast<size_t>(scored));
  sample(cpu, logits.rows(0, scored), sampling, tops);
  for (size_t i = 0; i < tops.size(); ++i) {
    out[i].top.assign(tops[i].top, tops[i].top + tops[i].top_count);
  }
}

}  // namespace lmdeploy
