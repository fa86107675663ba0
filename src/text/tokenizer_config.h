// TokenizerConfig: what the files beside a vocabulary say of it: tokenizer_config.json,
// special_tokens_map.json, added_tokens.json and chat_template.jinja, each of which may be absent.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/added_tokens.h"

namespace lmdeploy {

struct TokenizerParts;

struct TokenizerConfig {
  std::string tokenizer_class;  // "LlamaTokenizer"
  std::string name_or_path;     // under which the model was published
  // Texts, the first file's first.
  std::vector<std::string> bos, eos;
  std::vector<std::string>
      special;  // bos, eos, unk, pad and the additional special tokens, each once
  std::optional<bool> add_bos, add_eos, legacy, add_prefix_space;
  std::vector<AddedToken> added;  // added_tokens_decoder, else added_tokens.json
  std::string chat_template;      // chat_template.jinja, else tokenizer_config.json's
};

// The files of a directory. Broken ones are an error with the path.
Result<TokenizerConfig> read_tokenizer_config(const std::string& directory);

// bos, eos, the chat template and, where the configuration says add_bos_token or add_eos_token (it
// then decides alone, as in transformers), what goes around a text.
void apply_tokenizer_config(const TokenizerConfig& config, TokenizerParts& parts);

// An entry of tokenizer.json's added_tokens, or of added_tokens_decoder, whose key is the id.
Result<AddedToken> read_added_token(const json::value& value, std::optional<int64_t> id = {});

inline constexpr JsonLimits kTokenizerFileLimits{.max_depth = 64, .max_bytes = size_t{256} << 20};

}  // namespace lmdeploy
