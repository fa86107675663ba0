// Sorting values by keys, for the filters sort, dictsort and groupby.
#pragma once

#include "text/jinja/evaluator.h"

namespace lmdeploy::jinja {

struct SortItem {
  std::vector<Value> keys;  // compared in turn
  Value value;
};
// What one with one key takes.
inline constexpr size_t kSortItemBytes = sizeof(SortItem) + sizeof(Value) + kSmallStringBytes;

// A string in lower case; anything else as it is.
Value without_case(const Value& value);

// Stable; keys that Python does not order are an error. Gives the list of values.
Result<Value> sort_items(Evaluator& evaluator, std::vector<SortItem> items, bool reverse);
Status sort_in_place(Evaluator& evaluator, std::vector<SortItem>& items, bool reverse);

}  // namespace lmdeploy::jinja
