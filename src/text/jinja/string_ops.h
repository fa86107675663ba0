// String operations that both methods and filters offer. Sizes are checked before memory is taken.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/evaluator.h"
#include "text/jinja/text_search.h"

namespace lmdeploy::jinja {

// Announces a TextSearch.
Status charge_search(Evaluator& evaluator, std::string_view text, std::string_view wanted);

// The strings that a text is cut into, each counted before it is made.
class PieceList {
 public:
  explicit PieceList(Evaluator& evaluator) : evaluator_(evaluator) {}
  Status add(std::string_view text);
  // The pieces; last to first when `reversed`.
  std::vector<Value> take(bool reversed);

 private:
  Evaluator& evaluator_;
  std::vector<Value> pieces_;
  size_t bytes_ = 0;
};

// Without the given characters (white space when none are given) at either end.
std::string strip_text(std::string_view text, const std::optional<std::string>& chars, bool left,
                       bool right);
// Announces it.
Status charge_strip(Evaluator& evaluator, std::string_view text,
                    const std::optional<std::string>& chars);
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
