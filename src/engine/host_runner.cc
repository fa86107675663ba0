#include "engine/host_runner.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace lmdeploy {

HostRunner::HostRunner(std::unique_ptr<CausalLm> model, std::unique_ptr<Stream> stream,
                       const RunnerOptions& options, Communicator* ranks)
    : options_(options),
      ranks_(ranks),
      model_(std::move(model)),
      stream_(std::move(stream)),
      arena_(stream_->device()),
      last_token_(static_cast<size_t>(options.max_batch_size), 0) {}

void HostRunner::add_sequence(SequenceId id, const Sequence& sequence) {
  states_.emplace(id, SequenceState(sequence));
}

void HostRunner::remove_sequence(SequenceId id) { states_.erase(id); }

PromptScores HostRunner::take_prompt_scores(SequenceId id) {
  return std::move(states_.at(id).scores);
}

void HostRunner::launch(const StepPlan& plan) {
  ArenaScope scope(arena_);
  Ctx ctx{.stream = *stream_,
          .scratch = arena_,
          .batch_invariant = options_.batch_invariant,
          .ranks = ranks_};
  output_.step = plan.step;
  output_.sampled.assign(plan.rows.size(), SampledToken{});
  row_states_.clear();
  facts_.clear();
  ranges_.resize(plan.rows.size());
  for (const PlanRow& row : plan.rows) {
    SequenceState& state = states_.at(row.sequence);
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
}

void HostRunner::copy_blocks(const StepPlan& plan) {
  for (const BlockCopy& copy : plan.copies) kv_->copy_page(copy.src, copy.dst);
}

void HostRunner::score_prompts(Ctx& ctx, const StepPlan& plan, const TensorView& hidden) {
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    if ((plan.rows[r].flags & kRowAllLogits) == 0 || !row_states_[r]->score_prompt) continue;
    const LogitRange range = ranges_[r];
    for (int64_t begin = 0; begin < range.count; begin += kScoredRows) {
      const int64_t count = std::min<int64_t>(kScoredRows, range.count - begin);
      ArenaScope scope(arena_);
      const TensorView logits =
          arena_.allocate(Shape{count, model_->info().vocab_size}, DType::kF32);
      model_->logits(ctx, hidden.rows(range.first + begin, count), logits);
      score_prompt(ctx, *row_states_[r], plan.rows[r].first_position + begin, logits);
    }
  }
}

void HostRunner::sample_rows(Ctx& ctx, const StepPlan& plan, const TensorView& hidden) {
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
