// Equality, order and membership of values, as Python's == < in.
#pragma once

#include "text/jinja/value.h"

namespace lmdeploy::jinja {

// Never fails: values of different types are unequal, numbers compare by value, True == 1.
bool equal(const Value& a, const Value& b);

// -1, 0 or 1 (2: unordered, as NaN is); types that Python does not order are an error.
Result<int> compare(const Value& a, const Value& b);

// `item in container`; a container that is none is an error.
Result<bool> contains(const Value& container, const Value& item);

}  // namespace lmdeploy::jinja
