#include "text/jinja/compare.h"

#include <algorithm>

#include "text/jinja/text_search.h"

namespace lmdeploy::jinja {

namespace {

bool equal_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal);
}

bool equal_dicts(const DictObject& a, const DictObject& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(key);
    if (other == nullptr || !equal(value, *other)) return false;
  }
  return true;
}

template <class T>
int three_way(T a, T b) {
  return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2;
}

Result<int> compare_items(const std::vector<Value>& a, const std::vector<Value>& b) {
  for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (!equal(a[i], b[i])) return compare(a[i], b[i]);
  }
  return three_way(a.size(), b.size());
}

}  // namespace

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_int() == b.as_int();
    return a.as_double() == b.as_double();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone: return true;
    case Kind::kString: return a.as_string() == b.as_string();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange: return equal_items(a.items(), b.items());
    case Kind::kView:
      return a.type_name() == b.type_name() && a.type_name() != "dict_values" &&
             equal_items(a.items(), b.items());
    case Kind::kDict: return equal_dicts(a.as_dict(), b.as_dict());
    default: return a.same_as(b);
  }
}

Result<int> compare(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return three_way(a.as_int(), b.as_int());
    return three_way(a.as_double(), b.as_double());
  }
  if (a.is_undefined()) return invalid_argument("{}", a.undefined_message());
  if (b.is_undefined()) return invalid_argument("{}", b.undefined_message());
  if (a.is_string() && b.is_string()) return three_way(a.as_string().compare(b.as_string()), 0);
  if (a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    return compare_items(a.items(), b.items());
  }
  return invalid_argument("'{}' and '{}' cannot be ordered", a.type_name(), b.type_name());
}

Result<bool> contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined: return false;
    case Kind::kString:
      if (!item.is_string()) {
        return invalid_argument("'in <string>' requires a string on its left, not '{}'",
                                item.type_name());
      }
      return contains_text(container.as_string(), item.as_string());
    case Kind::kDict:
      if (item.is(Kind::kList) || item.is_dict()) {
        return invalid_argument("'{}' cannot be a key of a dict", item.type_name());
      }
      return container.as_dict().find(item) != nullptr;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kView:
    case Kind::kIterator: {
      const auto& items = container.items();
      return std::any_of(items.begin(), items.end(),
                         [&](const Value& held) { return equal(held, item); });
    }
    default:
      return invalid_argument("'{}' is no container that 'in' could search", container.type_name());
  }
}

}  // namespace lmdeploy::jinja
