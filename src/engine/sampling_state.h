// What the sampler must remember between a choice's tokens: RequestSampling, which a request's choices
// share, and SamplingState, which each has of its own and which is small until a token is drawn. Keyed
// by sequence, both survive preemption.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/request.h"
#include "kernels/device_sampling.h"

namespace lmdeploy {

// What is known before the first token; constant. Making one takes time like the prompt's length, so
// it is made on the submitting thread.
struct RequestSampling {
  struct Context {
    std::span<const int32_t> prompt;
    std::span<const int32_t> end_ids;                // of the model
    const std::vector<std::vector<int32_t>>& bad_words;  // token sequences never to be completed
    uint64_t seed = 0;                               // of the request
  };
  RequestSampling(const SamplingParams& params, const Context& context);

  SamplingRow row;                                 // its numbers; the seed of choice 0
  bool counts_tokens;                              // some penalty is on
  bool ignore_eos;
  int64_t min_new_tokens;
  int64_t prompt_tokens;
  std::vector<TokenCount> prompt_counts;           // by token; empty unless counts_tokens
  std::vector<TokenBias> bias;
  std::vector<int32_t> end_ids;                    // the model's
  std::vector<int32_t> stop_ids;                   // the request's
  std::vector<int32_t> always_banned;
  std::vector<std::vector<int32_t>> bad_phrases;   // of two and more tokens
  size_t longest_head = 0;                         // tokens before the last of the longest phrase
  std::vector<int32_t> prompt_tail;                // at most that many last tokens
};

// Engine thread only.
class SamplingState {
 public:
  SamplingState(std::shared_ptr<const RequestSampling> request, int choice);

  // What to draw for the token at absolute position `position`. All tokens before it were accepted,
  // or all but the last one, which only the device knows: bans that depend on it are then in
  // conditional_bans(), and `seen` lacks it. Spans borrow from this object until the next call.
  SamplingRow row(int64_t position);
  std::span<const ConditionalBan> conditional_bans() const { return conditional_bans_; }
  void accept(int32_t token);
  int64_t generated() const { return generated_; }

 private:
  TokenCount& counted(int32_t token);
  void collect_banned(int64_t position);
  void collect_phrase_ends(bool last_token_known);

  std::shared_ptr<const RequestSampling> request_;
  uint64_t seed_;
  int64_t generated_ = 0;
  std::vector<TokenCount> seen_;                   // the prompt's, then new tokens; from the first on
  std::unordered_map<int32_t, size_t> seen_index_; // of the new ones
  std::vector<int32_t> tail_;                      // at least longest_head last tokens
  std::vector<int32_t> banned_;
  std::vector<ConditionalBan> conditional_bans_;
};

}  // namespace lmdeploy
