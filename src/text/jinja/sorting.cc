#include "text/jinja/sorting.h"

#include <algorithm>

#include "text/jinja/compare.h"
#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

namespace {

// Merge sort of [begin, end), which unlike std::sort stays in bounds whatever the order says (NaN)
// and stops at the first error.
class Sorter {
 public:
  Sorter(Evaluator& evaluator, std::vector<SortItem>& items, bool reverse)
      : evaluator_(evaluator), items_(items), buffer_(items.size()), reverse_(reverse) {}

  Status sort(size_t begin, size_t end) {
    if (end - begin < 2) return {};
    const size_t middle = begin + (end - begin) / 2;
    RETURN_IF_ERROR(sort(begin, middle));
    RETURN_IF_ERROR(sort(middle, end));
    size_t a = begin, b = middle;
    for (size_t out = begin; out < end; ++out) {
      bool take_right = a == middle;
      if (a < middle && b < end) {
        ASSIGN_OR_RETURN(take_right, before(items_[b], items_[a]));
      }
      buffer_[out] = std::move(take_right ? items_[b++] : items_[a++]);
    }
    std::move(buffer_.begin() + static_cast<ptrdiff_t>(begin),
              buffer_.begin() + static_cast<ptrdiff_t>(end),
              items_.begin() + static_cast<ptrdiff_t>(begin));
    return {};
  }

 private:
  Result<bool> before(const SortItem& left, const SortItem& right) {
    for (size_t i = 0; i < left.keys.size(); ++i) {
      RETURN_IF_ERROR(
          evaluator_.step(1 + std::min(left.keys[i].weight(), right.keys[i].weight()) / 4));
      if (i + 1 < left.keys.size() && equal(left.keys[i], right.keys[i])) continue;
      ASSIGN_OR_RETURN(const int order, compare(left.keys[i], right.keys[i]));
      return order == (reverse_ ? 1 : -1);
    }
    return false;
  }

  Evaluator& evaluator_;
  std::vector<SortItem>& items_;
  std::vector<SortItem> buffer_;
  bool reverse_;
};

}  // namespace

Value without_case(const Value& value) {
  return value.is_string() ? Value::string(to_lower(value.as_string())) : value;
}

Status sort_in_place(Evaluator& evaluator, std::vector<SortItem>& items, bool reverse) {
  RETURN_IF_ERROR(evaluator.reserve(items.size() * sizeof(SortItem)));
  return Sorter(evaluator, items, reverse).sort(0, items.size());
}

Result<Value> sort_items(Evaluator& evaluator, std::vector<SortItem> items, bool reverse) {
  RETURN_IF_ERROR(sort_in_place(evaluator, items, reverse));
  std::vector<Value> values;
  values.reserve(items.size());
  for (SortItem& item : items) values.push_back(std::move(item.value));
  return Value::list(std::move(values));
}

}  // namespace lmdeploy::jinja
