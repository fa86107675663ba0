// Calls, filters, tests and assignment targets; expression_parser.cc has the other expressions.
#include <algorithm>

#include "text/jinja/expression_parser.h"

namespace lmdeploy::jinja {

namespace {

bool is_constant_name(std::string_view name) {
  return name == "true" || name == "false" || name == "none" || name == "True" ||
         name == "False" || name == "None";
}

}  // namespace

Result<ExprPtr> ExpressionParser::parse_call(ExprPtr callee) {
  const int line = current().line;
  ASSIGN_OR_RETURN(CallArguments arguments, parse_arguments());
  const int depth = std::max(depth_of(callee), depth_of(arguments));
  return make(line, Call{std::move(callee), std::move(arguments)}, depth);
}

Result<CallArguments> ExpressionParser::parse_arguments() {
  RETURN_IF_ERROR(expect_op("("));
  CallArguments arguments;
  bool first = true;
  while (!at_op(")")) {
    if (!first) RETURN_IF_ERROR(expect_op(","));
    if (at_op(")")) break;
    RETURN_IF_ERROR(parse_argument(arguments));
    first = false;
  }
  next();
  return arguments;
}

Status ExpressionParser::parse_argument(CallArguments& arguments) {
  const auto misplaced = [&] { return fail("arguments are in an order that a call does not allow"); };
  if (skip_op("*")) {
    if (arguments.star || arguments.star_star) return misplaced();
    ASSIGN_OR_RETURN(arguments.star, parse_expression());
    return {};
  }
  if (skip_op("**")) {
    if (arguments.star_star) return misplaced();
    ASSIGN_OR_RETURN(arguments.star_star, parse_expression());
    return {};
  }
  if (at(TokenKind::kName) && is_op(look_ahead(), "=")) {
    if (arguments.star_star) return misplaced();
    std::string name = current().text;
    next();
    next();
    ASSIGN_OR_RETURN(ExprPtr value, parse_expression());
    arguments.named.emplace_back(std::move(name), std::move(value));
    return {};
  }
  if (arguments.star || arguments.star_star || !arguments.named.empty()) return misplaced();
  ASSIGN_OR_RETURN(ExprPtr value, parse_expression());
  arguments.positional.push_back(std::move(value));
  return {};
}

Result<std::string> ExpressionParser::parse_dotted_name() {
  ASSIGN_OR_RETURN(std::string name, expect_any_name());
  while (skip_op(".")) {
    ASSIGN_OR_RETURN(const std::string part, expect_any_name());
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> ExpressionParser::parse_filter(ExprPtr input, bool inline_start) {
  while (at_op("|") || inline_start) {
    if (!inline_start) next();
    inline_start = false;
    const int line = current().line;
    ASSIGN_OR_RETURN(std::string name, parse_dotted_name());
    CallArguments arguments;
    if (at_op("(")) {
      ASSIGN_OR_RETURN(arguments, parse_arguments());
    }
    const int depth = std::max(depth_of(input), depth_of(arguments));
    ASSIGN_OR_RETURN(
        input, make(line, Filter{std::move(input), std::move(name), std::move(arguments)}, depth));
  }
  return input;
}

Result<ExprPtr> ExpressionParser::parse_test(ExprPtr input) {
  const int line = current().line;
  next();
  const bool negated = skip_name("not");
  ASSIGN_OR_RETURN(std::string name, parse_dotted_name());
  CallArguments arguments;
  const Token& token = current();
  const bool starts_argument =
      token.kind == TokenKind::kName || token.kind == TokenKind::kString ||
      token.kind == TokenKind::kInteger || token.kind == TokenKind::kFloat || at_op("[") || at_op("{");
  if (at_op("(")) {
    ASSIGN_OR_RETURN(arguments, parse_arguments());
  } else if (starts_argument && !at_name("else") && !at_name("or") && !at_name("and")) {
    if (at_name("is")) return fail("tests cannot be chained with 'is'");
    ASSIGN_OR_RETURN(ExprPtr argument, parse_primary());
    ASSIGN_OR_RETURN(argument, parse_postfix(std::move(argument)));
    arguments.positional.push_back(std::move(argument));
  }
  const int depth = std::max(depth_of(input), depth_of(arguments));
  ASSIGN_OR_RETURN(ExprPtr test,
                   make(line, Test{std::move(input), std::move(name), std::move(arguments)}, depth));
  if (!negated) return test;
  return make(line, Unary{UnaryOp::kNot, std::move(test)}, depth + 1);
}

Result<Target> ExpressionParser::parse_target_part(std::string_view end_name, bool with_attribute) {
  const Nesting nesting(*this);
  RETURN_IF_ERROR(nesting.check());
  Target target;
  if (skip_op("(")) {
    ASSIGN_OR_RETURN(target, parse_target(end_name, with_attribute));
    RETURN_IF_ERROR(expect_op(")"));
    return target;
  }
  if (!at(TokenKind::kName) || is_constant_name(current().text)) {
    return fail(fmt::format("cannot assign to {}", describe(current())));
  }
  ASSIGN_OR_RETURN(target.name, expect_any_name());
  if (with_attribute && skip_op(".")) {
    target.kind = Target::Kind::kNamespaceAttribute;
    ASSIGN_OR_RETURN(target.attribute, expect_any_name());
  }
  return target;
}

Result<Target> ExpressionParser::parse_target(std::string_view end_name, bool with_attribute) {
  Target tuple;
  tuple.kind = Target::Kind::kTuple;
  bool is_tuple = false;
  while (true) {
    if (at_op(")") || at(TokenKind::kBlockEnd) || (!end_name.empty() && at_name(end_name))) break;
    ASSIGN_OR_RETURN(Target part, parse_target_part(end_name, with_attribute));
    tuple.parts.push_back(std::move(part));
    if (!skip_op(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return tuple;
  if (tuple.parts.empty()) return fail("expected a name to assign to");
  return std::move(tuple.parts[0]);
}

}  // namespace lmdeploy::jinja
