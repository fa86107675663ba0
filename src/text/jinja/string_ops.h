// String operations that both methods and filters offer. Sizes are checked before memory is taken.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/evaluator.h"

namespace lmdeploy::jinja {

// Without the given characters (white space when none are given) at either end.
std::string strip_text(std::string_view text, const std::optional<std::string>& chars, bool left,
                       bool right);
// Items as str() shows them, with the separator between.
Result<Value> join_text(Evaluator& evaluator, std::string_view separator,
                        const std::vector<Value>& items);
// At most `count` replacements; negative: all.
Result<Value> replace_text(Evaluator& evaluator, std::string_view text, std::string_view from,
                           std::string_view to, int64_t count);
// `left` and `right` times the fill character around the text.
Result<Value> pad_text(Evaluator& evaluator, std::string_view text, std::string_view fill,
                       int64_t left, int64_t right);
// How many of `missing` characters str.center(width) puts on the left.
int64_t center_left(int64_t missing, int64_t width);

}  // namespace lmdeploy::jinja
