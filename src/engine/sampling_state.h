// SamplingState: what the sampler must remember of one choice between its tokens. Keyed by sequence,
// it survives preemption.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/request.h"
#include "kernels/device_sampling.h"

namespace lmdeploy {

// Engine thread only.
class SamplingState {
 public:
  struct Context {
    std::span<const int32_t> prompt;
    std::span<const int32_t> end_ids;                // of the model
    const std::vector<std::vector<int32_t>>& bad_words;  // token sequences never to be completed
    uint64_t seed = 0;                               // of the request
  };
  SamplingState(const SamplingParams& params, int choice, const Context& context);

  // What to draw for the token at absolute position `position`. All tokens before it were accepted,
  // or all but the last one, which only the device knows: bans that depend on it are then in
  // conditional_bans(), and `seen` lacks it. Spans borrow from this object until the next call.
  SamplingRow row(int64_t position);
  std::span<const ConditionalBan> conditional_bans() const { return conditional_bans_; }
  void accept(int32_t token);
  int64_t generated() const { return generated_; }

 private:
  void count(int32_t token, bool in_prompt);
  void collect_banned(int64_t position);
  void collect_phrase_ends(bool last_token_known);

  SamplingRow base_;
  int64_t prompt_tokens_;
  int64_t min_new_tokens_;
  bool ignore_eos_;
  int64_t generated_ = 0;
  bool counts_tokens_;                               // some penalty is on
  std::vector<TokenCount> seen_;
  std::unordered_map<int32_t, size_t> seen_index_;
  std::vector<TokenBias> bias_;
  std::vector<int32_t> end_ids_;                     // the model's
  std::vector<int32_t> stop_ids_;                    // the request's
  std::vector<int32_t> always_banned_;
  std::vector<std::vector<int32_t>> bad_phrases_;    // of two and more tokens
  size_t longest_head_ = 0;                          // tokens before the last of the longest phrase
  std::vector<int32_t> tail_;                        // at least that many last tokens
  std::vector<int32_t> banned_;
  std::vector<ConditionalBan> conditional_bans_;
};

}  // namespace lmdeploy
