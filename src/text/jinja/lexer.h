// Tokens of a Jinja template, as jinja2 cuts them with trim_blocks and lstrip_blocks on and line
// statements off (the settings that chat templates are written for).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lmdeploy::jinja {

enum class TokenKind : uint8_t {
  kData,           // text between tags; `text` holds it
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kName,
  kString,  // `text` is unescaped
  kInteger,
  kFloat,
  kOperator,  // `text` holds it
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;
  int64_t integer = 0;
  double real = 0;
};

// The tokens of `source`, kEnd last. Errors name the line; more than `max_tokens` are one.
Result<std::vector<Token>> tokenize(std::string_view source, size_t max_tokens);

}  // namespace lmdeploy::jinja
