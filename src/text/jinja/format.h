// Python's two ways to format a string: "%s of %d" % values, and "{} of {n}".format(values).
#pragma once

#include "text/jinja/evaluator.h"

namespace lmdeploy::jinja {

// `arguments` is a tuple of values, a dict for %(name)s, or a single value.
Result<Value> percent_format(Evaluator& evaluator, const Value& format, const Value& arguments);

Result<Value> brace_format(Evaluator& evaluator, const Value& format, const Arguments& arguments);

}  // namespace lmdeploy::jinja
