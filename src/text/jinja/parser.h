// Parses a template; the grammar and its precedences are jinja2's.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/limits.h"

namespace lmdeploy::jinja {

// Errors are kInvalidArgument: "line 3: ...". Too many tokens are refused, as are expressions and
// blocks nested beyond max_syntax_depth, so that no walk over the tree exhausts the stack.
Result<Body> parse_template(std::string_view source, const Limits& limits);

}  // namespace lmdeploy::jinja
