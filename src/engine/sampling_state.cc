#include "engine/sampling_state.h"

#include <algorithm>

#include "base/check.h"

namespace lmdeploy {

namespace {

std::vector<TokenCount> count_tokens(std::span<const int32_t> tokens) {
  std::vector<int32_t> sorted(tokens.begin(), tokens.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<TokenCount> counts;
  for (int32_t token : sorted) {
    if (counts.empty() || counts.back().token != token) counts.push_back({token, 0, 0});
    ++counts.back().in_prompt;
  }
  counts.shrink_to_fit();
  return counts;
}

}  // namespace

RequestSampling::RequestSampling(const SamplingParams& params, const Context& context)
    : counts_tokens(params.repetition_penalty != 1.0 || params.presence_penalty != 0.0 ||
                    params.frequency_penalty != 0.0),
      ignore_eos(params.ignore_eos),
      min_new_tokens(params.min_new_tokens),
      prompt_tokens(static_cast<int64_t>(context.prompt.size())),
      bias(params.logit_bias),
      end_ids(context.end_ids.begin(), context.end_ids.end()),
      stop_ids(params.stop_token_ids),
      always_banned(params.bad_token_ids) {
  row.greedy = params.greedy || params.temperature == 0.0;
  row.temperature = static_cast<float>(params.temperature);
  row.top_k = params.top_k;
  row.top_p = static_cast<float>(params.top_p);
  row.min_p = static_cast<float>(params.min_p);
  row.repetition_penalty = static_cast<float>(params.repetition_penalty);
  row.presence_penalty = static_cast<float>(params.presence_penalty);
  row.frequency_penalty = static_cast<float>(params.frequency_penalty);
  row.seed = context.seed;
  row.logprobs = params.logprobs;

  for (const std::vector<int32_t>& word : context.bad_words) {
    if (word.size() == 1) {
      always_banned.push_back(word[0]);
    } else if (word.size() > 1) {
      bad_phrases.push_back(word);
      longest_head = std::max(longest_head, word.size() - 1);
    }
  }
  const size_t keep = std::min(longest_head, context.prompt.size());
  prompt_tail.assign(context.prompt.end() - static_cast<std::ptrdiff_t>(keep),
                     context.prompt.end());
  if (counts_tokens) prompt_counts = count_tokens(context.prompt);
}

SamplingState::SamplingState(std::shared_ptr<const RequestSampling> request, int choice)
    : request_(std::move(request)),
      seed_(request_->row.seed + static_cast<uint64_t>(choice)),
      tail_(request_->prompt_tail) {}

SamplingRow SamplingState::row(int64_t position) {
  collect_banned(position);
  SamplingRow row = request_->row;
  row.seed = seed_;
  row.position = position;
  row.seen = seen_.empty() ? request_->prompt_counts : seen_;
  row.bias = request_->bias;
  row.banned = banned_;
  return row;
}

void SamplingState::accept(int32_t token) {
  ++generated_;
  if (request_->counts_tokens) ++counted(token).generated;
  const size_t head = request_->longest_head;
  if (head == 0) return;
  if (tail_.size() >= 2 * head) {
    tail_.erase(tail_.begin(), tail_.end() - static_cast<std::ptrdiff_t>(head));
  }
  tail_.push_back(token);
}

TokenCount& SamplingState::counted(int32_t token) {
  const std::vector<TokenCount>& prompt = request_->prompt_counts;
  if (seen_.empty()) seen_ = prompt;
  const auto place = std::lower_bound(
      prompt.begin(), prompt.end(), token,
      [](const TokenCount& count, int32_t wanted) { return count.token < wanted; });
  if (place != prompt.end() && place->token == token) {
    return seen_[static_cast<size_t>(place - prompt.begin())];
  }
  const auto [index, inserted] = seen_index_.try_emplace(token, seen_.size());
  if (inserted) seen_.push_back({token, 0, 0});
  return seen_[index->second];
}

void SamplingState::collect_banned(int64_t position) {
  const int64_t before = position - request_->prompt_tokens;  // generated tokens before this one
  CHECK(before == generated_ || before == generated_ + 1, "{} tokens of {} are known", generated_,
        before);
  const auto ban = [this](const std::vector<int32_t>& ids) {
    banned_.insert(banned_.end(), ids.begin(), ids.end());
  };
  banned_.clear();
  ban(request_->always_banned);
  const bool too_short = before < request_->min_new_tokens;
  if (request_->ignore_eos || too_short) ban(request_->end_ids);
  if (too_short) ban(request_->stop_ids);
  conditional_bans_.clear();
  collect_phrase_ends(before == generated_);
}

void SamplingState::collect_phrase_ends(bool last_token_known) {
  for (const std::vector<int32_t>& phrase : request_->bad_phrases) {
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
