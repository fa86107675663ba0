#include "engine/model_runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace lmdeploy {

namespace {
constexpr int64_t kScoredRows = 32;  // rows of prompt logits in memory at once
}

ModelRunner::ModelRunner(std::unique_ptr<CausalLm> model, std::unique_ptr<Stream> stream,
                         std::unique_ptr<KvCache> kv, int max_batch_size)
    : model_(std::move(model)),
      stream_(std::move(stream)),
      kv_(std::move(kv)),
      arena_(stream_->device()),
      last_token_(static_cast<size_t>(max_batch_size), 0) {}

void ModelRunner::add_sequence(SequenceId id, const Sequence& sequence) {
  const GenerateRequest& request = *sequence.request;
  State state{SamplingState(request.sampling, sequence.choice, sequence.context), &request,
              static_cast<int32_t>(request.prompt.size()), sequence.score_prompt, {}};
  if (sequence.score_prompt) {
    state.scores.tokens.resize(request.prompt.size());
    for (size_t i = 0; i < request.prompt.size(); ++i) state.scores.tokens[i].id = request.prompt[i];
    state.scores.tokens[0].logprob = std::numeric_limits<float>::quiet_NaN();
  }
  states_.emplace(id, std::move(state));
}

void ModelRunner::remove_sequence(SequenceId id) { states_.erase(id); }

PromptScores ModelRunner::take_prompt_scores(SequenceId id) {
  return std::move(states_.at(id).scores);
}

const StepOutput& ModelRunner::run(const StepPlan& plan) {
  ArenaScope scope(arena_);
  Ctx ctx{*stream_, arena_};
  output_.step = plan.step;
  output_.sampled.assign(plan.rows.size(), SampledToken{});
  row_states_.clear();
  facts_.clear();
  ranges_.resize(plan.rows.size());
  for (const PlanRow& row : plan.rows) {
    State& state = states_.at(row.sequence);
    row_states_.push_back(&state);
    facts_.push_back({last_token_[static_cast<size_t>(row.slot)], state.rope_length});
  }
  copy_blocks(plan);
  build_batch(plan, facts_, *kv_, arena_, batch_, ranges_);

  const int64_t rows = batch_.logit_rows.dim(0);
  const TensorView hidden = arena_.allocate(Shape{rows, model_->info().hidden_size}, DType::kF32);
  model_->forward(ctx, batch_, *kv_, hidden);
  score_prompts(ctx, plan, hidden);
  sample_rows(ctx, plan, hidden);
  return output_;
}

void ModelRunner::copy_blocks(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.copies) kv_->copy_page(copy.src, copy.dst);
}

void ModelRunner::score_prompts(Ctx& ctx, const StepPlan& plan, const TensorView& hidden) {
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    if ((plan.rows[r].flags & kRowAllLogits) == 0 || !row_states_[r]->score_prompt) continue;
    const LogitRange range = ranges_[r];
    for (int64_t begin = 0; begin < range.count; begin += kScoredRows) {
      const int64_t count = std::min<int64_t>(kScoredRows, range.count - begin);
      score_chunk(ctx, *row_states_[r], plan.rows[r].first_position + begin,
                  hidden.rows(range.first + begin, count));
    }
  }
}

// The logits at position p score the prompt token at p + 1.
void ModelRunner::score_chunk(Ctx& ctx, State& state, int64_t first_position, const TensorView& hidden) {
  ArenaScope scope(arena_);
  const int64_t rows = hidden.dim(0);
  const TensorView logits = arena_.allocate(Shape{rows, model_->info().vocab_size}, DType::kF32);
  model_->logits(ctx, hidden, logits);

  const std::vector<int32_t>& prompt = state.request->prompt;
  const auto prompt_len = static_cast<int64_t>(prompt.size());
  const int64_t scored = std::min(rows, prompt_len - 1 - first_position);
  if (scored < rows && state.request->last_logits) {
    const float* last = logits.row<float>(prompt_len - 1 - first_position);
    state.scores.last_logits.assign(last, last + logits.dim(1));
  }
  if (scored <= 0 || !state.request->prompt_logprobs) return;
  const std::span<const int32_t> targets(prompt.data() + first_position + 1, static_cast<size_t>(scored));
  std::vector<float> logprobs(static_cast<size_t>(scored));
  token_logprobs(ctx, logits.rows(0, scored), targets, logprobs);
  TokenOutput* out = state.scores.tokens.data() + first_position + 1;
  for (int64_t i = 0; i < scored; ++i) out[i].logprob = logprobs[static_cast<size_t>(i)];
  if (state.request->sampling.logprobs <= 0) return;

  SamplingRow most_likely;
  most_likely.greedy = true;
  most_likely.logprobs = state.request->sampling.logprobs;
  const std::vector<SamplingRow> sampling(static_cast<size_t>(scored), most_likely);
  std::vector<SampledToken> tops(static_cast<size_t>(scored));
  sample(ctx, logits.rows(0, scored), sampling, tops);
  for (size_t i = 0; i < tops.size(); ++i) out[i].top.assign(tops[i].top, tops[i].top + tops[i].top_count);
}

void ModelRunner::sample_rows(Ctx& ctx, const StepPlan& plan, const TensorView& hidden) {
  sampling_rows_.clear();
  sampling_row_of_.clear();
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    if (!plan.rows[r].samples()) continue;
    sampling_row_of_.push_back(r);
    sampling_rows_.push_back(row_states_[r]->sampling.row(plan.rows[r].kv_length));
  }
  const auto count = static_cast<int64_t>(sampling_row_of_.size());
  if (count == 0) return;

  TensorView last = hidden;
  if (count != hidden.dim(0)) {
    last = arena_.allocate(Shape{count, hidden.dim(1)}, DType::kF32);
    for (int64_t i = 0; i < count; ++i) {
      const LogitRange range = ranges_[sampling_row_of_[static_cast<size_t>(i)]];
      std::memcpy(last.row<float>(i), hidden.row<float>(range.first + range.count - 1),
                  static_cast<size_t>(hidden.dim(1)) * sizeof(float));
    }
  }
  const TensorView logits = arena_.allocate(Shape{count, model_->info().vocab_size}, DType::kF32);
  model_->logits(ctx, last, logits);
  sampled_.assign(static_cast<size_t>(count), SampledToken{});
  sample(ctx, logits, sampling_rows_, sampled_);
  for (size_t i = 0; i < sampled_.size(); ++i) {
    const size_t r = sampling_row_of_[i];
    output_.sampled[r] = sampled_[i];
    if (sampled_[i].token < 0) continue;
    last_token_[static_cast<size_t>(plan.rows[r].slot)] = sampled_[i].token;
    row_states_[r]->sampling.accept(sampled_[i].token);
  }
}

}  // namespace lmdeploy
