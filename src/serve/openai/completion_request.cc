#include "serve/openai/completion_request.h"

#include <fmt/format.h>

#include <limits>

namespace lmdeploy {

namespace {

constexpr int64_t kDefaultMaxTokens = 16;

void add_token_prompt(FieldReader& fields, const json::array& ids, int64_t vocab_size,
                      CompletionRequest& out) {
  // A reader of its own, so that errors still name 'prompt'.
  const json::object wrapped{{"prompt", ids}};
  FieldReader inner(wrapped);
  std::vector<int32_t> prompt =
      inner.token_ids("prompt", std::numeric_limits<size_t>::max(), vocab_size);
  if (!inner.ok()) return fields.fail("prompt", inner.error().message);
  out.prompts.emplace_back(std::move(prompt));
}

void add_prompt(FieldReader& fields, const json::value& item, int64_t vocab_size,
                CompletionRequest& out) {
  if (const auto* text = item.if_string()) {
    out.prompts.emplace_back(std::string(text->data(), text->size()));
  } else if (const auto* ids = item.if_array()) {
    add_token_prompt(fields, *ids, vocab_size, out);
  } else {
    fields.fail("prompt",
                "'prompt' must be a string, a list of strings, a list of token ids, or a "
                "list of such lists");
  }
}

void read_prompts(FieldReader& fields, int64_t vocab_size, CompletionRequest& out) {
  const json::value* prompt = fields.value("prompt");
  if (prompt == nullptr) return fields.fail("prompt", "'prompt' is missing");
  const json::array* list = prompt->if_array();
  if (list == nullptr || (!list->empty() && list->front().is_number())) {
    return add_prompt(fields, *prompt, vocab_size, out);
  }
  if (list->empty() || list->size() > kMostPrompts) {
    return fields.fail("prompt", fmt::format("'prompt' has {} items; expected 1 to {}",
                                             list->size(), kMostPrompts));
  }
  for (const json::value& item : *list) add_prompt(fields, item, vocab_size, out);
}

}  // namespace

CompletionRequest read_completion_request(FieldReader& fields, const ModelFacts& facts) {
  constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();
  CompletionRequest out;
  out.reply = read_reply_options(fields);
  read_prompts(fields, facts.vocab_size, out);
  out.sampling = read_sampling(fields, facts);
  out.echo = fields.boolean("echo").value_or(false);
  fields.refuse("suffix");

  const auto given = fields.integer("max_tokens", 0, kMostTokens);
  const auto newer = fields.integer("max_completion_tokens", 0, kMostTokens);
  const bool explicit_null = fields.is_null("max_tokens");
  out.sampling.max_new_tokens = newer ? newer : given;
  if (!out.sampling.max_new_tokens && !explicit_null)
    out.sampling.max_new_tokens = kDefaultMaxTokens;
  if (out.sampling.max_new_tokens == 0 && !out.echo) {
    fields.fail("max_tokens", "'max_tokens' is 0, which needs 'echo': true (to score the prompt)");
  }
  if (const auto top = fields.integer("logprobs", 0, kMostTopLogprobs)) {
    out.sampling.logprobs = static_cast<int>(*top);
  }
  if (out.prompts.size() * static_cast<size_t>(out.sampling.n) > kMostCompletions) {
    fields.fail(
        "n",
        fmt::format("{} prompts with n = {} make {} completions; at most {} are accepted",
                    out.prompts.size(), out.sampling.n,
                    out.prompts.size() * static_cast<size_t>(out.sampling.n), kMostCompletions));
  }
  return out;
}

}  // namespace lmdeploy
