// What a request must satisfy before it is queued.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/request.h"
#include "text/tokenizer.h"

namespace lmdeploy {

// Ranges of every field, each by name with the value got.
Status check_sampling(const SamplingParams& sampling, int64_t vocab_size);

// The prompt: not empty, ids inside the vocabulary, at least one token of room in the window.
Status check_prompt(const GenerateRequest& request, int64_t vocab_size, int64_t session_len);

// The token sequences that spell each word at the start of a text and after a space.
std::vector<std::vector<int32_t>> tokenize_bad_words(const Tokenizer& tokenizer,
                                                     const std::vector<std::string>& words);

}  // namespace lmdeploy
