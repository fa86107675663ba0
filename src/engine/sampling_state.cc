#include "engine/sampling_state.h"

#include <algorithm>

#include "base/check.h"

namespace lmdeploy {

SamplingState::SamplingState(const SamplingParams& params, int choice, const Context& context)
    : prompt_tokens_(static_cast<int64_t>(context.prompt.size())),
      min_new_tokens_(params.min_new_tokens),
      ignore_eos_(params.ignore_eos),
      bias_(params.logit_bias),
      end_ids_(context.end_ids.begin(), context.end_ids.end()),
      stop_ids_(params.stop_token_ids),
      always_banned_(params.bad_token_ids) {
  base_.greedy = params.greedy || params.temperature == 0.0;
  base_.temperature = static_cast<float>(params.temperature);
  base_.top_k = params.top_k;
  base_.top_p = static_cast<float>(params.top_p);
  base_.min_p = static_cast<float>(params.min_p);
  base_.repetition_penalty = static_cast<float>(params.repetition_penalty);
  base_.presence_penalty = static_cast<float>(params.presence_penalty);
  base_.frequency_penalty = static_cast<float>(params.frequency_penalty);
  base_.seed = context.seed + static_cast<uint64_t>(choice);
  base_.logprobs = params.logprobs;
  counts_tokens_ = params.repetition_penalty != 1.0 || params.presence_penalty != 0.0 ||
                   params.frequency_penalty != 0.0;

  for (const std::vector<int32_t>& word : context.bad_words) {
    if (word.size() == 1) {
      always_banned_.push_back(word[0]);
    } else if (word.size() > 1) {
      bad_phrases_.push_back(word);
      longest_head_ = std::max(longest_head_, word.size() - 1);
    }
  }
  const size_t keep = std::min(longest_head_, context.prompt.size());
  tail_.assign(context.prompt.end() - static_cast<std::ptrdiff_t>(keep), context.prompt.end());
  if (counts_tokens_) {
    for (int32_t token : context.prompt) count(token, true);
  }
}

SamplingRow SamplingState::row(int64_t position) {
  collect_banned(position);
  SamplingRow row = base_;
  row.position = position;
  row.seen = seen_;
  row.bias = bias_;
  row.banned = banned_;
  return row;
}

void SamplingState::accept(int32_t token) {
  ++generated_;
  if (counts_tokens_) count(token, false);
  if (longest_head_ == 0) return;
  if (tail_.size() >= 2 * longest_head_) {
    tail_.erase(tail_.begin(), tail_.end() - static_cast<std::ptrdiff_t>(longest_head_));
  }
  tail_.push_back(token);
}

void SamplingState::count(int32_t token, bool in_prompt) {
  const auto [place, inserted] = seen_index_.try_emplace(token, seen_.size());
  if (inserted) seen_.push_back({token, 0, 0});
  TokenCount& entry = seen_[place->second];
  ++(in_prompt ? entry.in_prompt : entry.generated);
}

void SamplingState::collect_banned(int64_t position) {
  const int64_t before = position - prompt_tokens_;  // generated tokens before this one
  CHECK(before == generated_ || before == generated_ + 1, "{} tokens of {} are known", generated_,
        before);
  banned_.assign(always_banned_.begin(), always_banned_.end());
  const bool too_short = before < min_new_tokens_;
  if (ignore_eos_ || too_short) banned_.insert(banned_.end(), end_ids_.begin(), end_ids_.end());
  if (too_short) banned_.insert(banned_.end(), stop_ids_.begin(), stop_ids_.end());
  conditional_bans_.clear();
  collect_phrase_ends(before == generated_);
}

void SamplingState::collect_phrase_ends(bool last_token_known) {
  for (const std::vector<int32_t>& phrase : bad_phrases_) {
    const size_t known = phrase.size() - (last_token_known ? 1 : 2);  // that must be the tail
    if (tail_.size() < known) continue;
    if (!std::equal(tail_.end() - static_cast<std::ptrdiff_t>(known), tail_.end(), phrase.begin())) {
      continue;
    }
    if (last_token_known) {
      banned_.push_back(phrase.back());
    } else {
      conditional_bans_.push_back({phrase.back(), phrase[known]});
    }
  }
}

}  // namespace lmdeploy
