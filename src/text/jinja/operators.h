// Arithmetic, comparison and slicing of values, as Python's operators.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/evaluator.h"

namespace lmdeploy::jinja {

// + - * / // % ** (not `and` and `or`). Integers are of 64 bits; overflow is an error.
Result<Value> arithmetic(Evaluator& evaluator, BinaryOp op, const Value& left, const Value& right);
// -value, or +value when not `negative`.
Result<Value> negate(const Value& value, bool negative);
Result<bool> compare_with(Evaluator& evaluator, CompareOp op, const Value& left, const Value& right);
// object[start:stop:step]; parts may be None. What cannot be sliced is an error.
Result<Value> slice(Evaluator& evaluator, const Value& object, const Value& start,
                    const Value& stop, const Value& step);
// Adds or replaces a dict entry; a key that Python could not hash is an error.
Status insert(Evaluator& evaluator, std::vector<std::pair<Value, Value>>& entries, Value key,
              Value value);
// The rest of an iterator's items, which are then read.
Result<std::vector<Value>> spend_iterator(Evaluator& evaluator, const Value& iterator);

}  // namespace lmdeploy::jinja
