#include "engine/request_check.h"

#include <algorithm>
#include <cmath>

namespace lmdeploy {

namespace {

constexpr int kMostChoices = 128;
constexpr int kMostLogprobs = 20;

Status check_range(const char* name, double value, double least, double most) {
  if (value >= least && value <= most) return {};
  return invalid_argument("{} is {}; expected {} to {}", name, value, least, most);
}

Status check_ids(const char* name, const std::vector<int32_t>& ids, int64_t vocab_size) {
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return invalid_argument("{} holds token id {}; the vocabulary has ids 0 to {}", name, id, vocab_size - 1);
    }
  }
  return {};
}

}  // namespace

Status check_sampling(const SamplingParams& s, int64_t vocab_size) {
  RETURN_IF_ERROR(check_range("n", s.n, 1, kMostChoices));
  RETURN_IF_ERROR(check_range("temperature", s.temperature, 0, 100));
  if (!(s.top_p > 0 && s.top_p <= 1)) return invalid_argument("top_p is {}; expected above 0, at most 1", s.top_p);
  if (s.top_k < 0) return invalid_argument("top_k is {}; expected 0 (off) or more", s.top_k);
  RETURN_IF_ERROR(check_range("min_p", s.min_p, 0, 1));
  if (!(s.repetition_penalty > 0) || !std::isfinite(s.repetition_penalty)) {
    return invalid_argument("repetition_penalty is {}; expected above 0", s.repetition_penalty);
  }
  RETURN_IF_ERROR(check_range("presence_penalty", s.presence_penalty, -2, 2));
  RETURN_IF_ERROR(check_range("frequency_penalty", s.frequency_penalty, -2, 2));
  RETURN_IF_ERROR(check_range("logprobs", s.logprobs, -1, kMostLogprobs));
  if (s.min_new_tokens < 0) return invalid_argument("min_new_tokens is {}; expected 0 or more", s.min_new_tokens);
  if (s.max_new_tokens && *s.max_new_tokens < 0) {
    return invalid_argument("max_new_tokens is {}; expected 0 or more", *s.max_new_tokens);
  }
  for (const TokenBias& bias : s.logit_bias) {
    if (bias.token < 0 || bias.token >= vocab_size) {
      return invalid_argument("logit_bias holds token id {}; the vocabulary has ids 0 to {}", bias.token, vocab_size - 1);
    }
    if (!std::isfinite(bias.bias)) return invalid_argument("logit_bias of token {} is not a finite number", bias.token);
  }
  RETURN_IF_ERROR(check_ids("bad_token_ids", s.bad_token_ids, vocab_size));
  return check_ids("stop_token_ids", s.stop_token_ids, vocab_size);
}

Status check_prompt(const GenerateRequest& request, int64_t vocab_size, int64_t session_len) {
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (length == 0) return invalid_argument("the prompt is empty");
  RETURN_IF_ERROR(check_ids("the prompt", request.prompt, vocab_size));
  const bool scores_only = request.sampling.max_new_tokens == 0;
  if (length > session_len || (length == session_len && !scores_only)) {
    return invalid_argument(
        "the prompt has {} tokens{}, but this model's window (session_len) holds {} with the answer; {}",
        length, request.session ? " with the session's history" : "", session_len,
        request.session ? "end the session, or shorten the prompt" : "shorten it");
  }
  return {};
}

std::vector<std::vector<int32_t>> tokenize_bad_words(const Tokenizer& tokenizer,
                                                     const std::vector<std::string>& words) {
  std::vector<std::vector<int32_t>> out;
  const EncodeOptions plain{.add_special_tokens = false};
  for (const std::string& word : words) {
    if (word.empty()) continue;
    for (const std::string& spelled : {word, " " + word}) {
      std::vector<int32_t> ids = tokenizer.encode(spelled, plain);
      if (!ids.empty() && std::find(out.begin(), out.end(), ids) == out.end()) out.push_back(std::move(ids));
    }
  }
  return out;
}

}  // namespace lmdeploy
