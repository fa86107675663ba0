// Parses a template; the grammar and its precedences are jinja2's.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace lmdeploy::jinja {

// Errors are kInvalidArgument: "line 3: ...". Expressions and blocks nested beyond `max_depth` are
// refused, so that no walk over the tree exhausts the stack.
Result<Body> parse_template(std::string_view source, int max_depth);

}  // namespace lmdeploy::jinja
