#include "text/jinja/expression_parser.h"

#include <algorithm>

#include "text/jinja/python_text.h"

namespace lmdeploy::jinja {

namespace {

std::optional<CompareOp> compare_op(const Token& token) {
  if (token.kind != TokenKind::kOperator) return std::nullopt;
  if (token.text == "==") return CompareOp::kEq;
  if (token.text == "!=") return CompareOp::kNe;
  if (token.text == "<") return CompareOp::kLt;
  if (token.text == "<=") return CompareOp::kLe;
  if (token.text == ">") return CompareOp::kGt;
  if (token.text == ">=") return CompareOp::kGe;
  return std::nullopt;
}

}  // namespace

std::string ExpressionParser::describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData: return "text";
    case TokenKind::kBlockBegin: return "'{%'";
    case TokenKind::kBlockEnd: return "'%}'";
    case TokenKind::kVariableBegin: return "'{{'";
    case TokenKind::kVariableEnd: return "'}}'";
    case TokenKind::kString: return "a string";
    case TokenKind::kEnd: return "the end of the template";
    default: return "'" + token.text + "'";
  }
}

Status ExpressionParser::Nesting::check() const {
  if (parser_.depth_ <= parser_.max_depth_) return {};
  return parser_.fail(fmt::format("nested deeper than {} levels", parser_.max_depth_));
}

bool ExpressionParser::is_op(const Token& token, std::string_view op) {
  return token.kind == TokenKind::kOperator && token.text == op;
}

bool ExpressionParser::is_name(const Token& token, std::string_view name) {
  return token.kind == TokenKind::kName && token.text == name;
}

bool ExpressionParser::skip_op(std::string_view op) {
  if (!at_op(op)) return false;
  next();
  return true;
}

bool ExpressionParser::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  next();
  return true;
}

Status ExpressionParser::fail(std::string_view message) const {
  return invalid_argument("line {}: {}", current().line, message);
}

Status ExpressionParser::expect(TokenKind kind) {
  if (!at(kind)) {
    return fail(fmt::format("expected {}, got {}", describe({kind, 0, "name"}), describe(current())));
  }
  next();
  return {};
}

Status ExpressionParser::expect_op(std::string_view op) {
  if (skip_op(op)) return {};
  return fail(fmt::format("expected '{}', got {}", op, describe(current())));
}

Status ExpressionParser::expect_name(std::string_view name) {
  if (skip_name(name)) return {};
  return fail(fmt::format("expected '{}', got {}", name, describe(current())));
}

Result<std::string> ExpressionParser::expect_any_name() {
  if (!at(TokenKind::kName)) return fail(fmt::format("expected a name, got {}", describe(current())));
  std::string name = current().text;
  next();
  return name;
}

Result<ExprPtr> ExpressionParser::make_binary(int line, BinaryOp op, ExprPtr left, ExprPtr right) {
  const int depth = std::max(depth_of(left), depth_of(right));
  return make(line, Binary{op, std::move(left), std::move(right)}, depth);
}

Result<ExprPtr> ExpressionParser::parse_tuple(TupleOptions options) {
  const int line = current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  int depth = 0;
  while (true) {
    if (!items.empty()) RETURN_IF_ERROR(expect_op(","));
    if (at(TokenKind::kVariableEnd) || at(TokenKind::kBlockEnd) || at_op(")")) break;
    if (!options.end_name.empty() && at_name(options.end_name)) break;
    ASSIGN_OR_RETURN(ExprPtr item, options.conditional ? parse_expression() : parse_or());
    depth = std::max(depth, depth_of(item));
    items.push_back(std::move(item));
    if (!at_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items[0]);
  if (!is_tuple && !options.parentheses) {
    return fail(fmt::format("expected an expression, got {}", describe(current())));
  }
  return make(line, ListDisplay{std::move(items), true}, depth);
}

Result<ExprPtr> ExpressionParser::parse_conditional() {
  const Nesting nesting(*this);
  RETURN_IF_ERROR(nesting.check());
  const int line = current().line;
  ASSIGN_OR_RETURN(ExprPtr yes, parse_or());
  while (skip_name("if")) {
    ASSIGN_OR_RETURN(ExprPtr condition, parse_or());
    ExprPtr no;
    if (skip_name("else")) {
      ASSIGN_OR_RETURN(no, parse_conditional());
    }
    const int depth = std::max({depth_of(yes), depth_of(condition), depth_of(no)});
    ASSIGN_OR_RETURN(
        yes, make(line, Conditional{std::move(condition), std::move(yes), std::move(no)}, depth));
  }
  return yes;
}

Result<ExprPtr> ExpressionParser::parse_or() {
  const int line = current().line;
  ASSIGN_OR_RETURN(ExprPtr left, parse_and());
  while (skip_name("or")) {
    ASSIGN_OR_RETURN(ExprPtr right, parse_and());
    ASSIGN_OR_RETURN(left, make_binary(line, BinaryOp::kOr, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_and() {
  const int line = current().line;
  ASSIGN_OR_RETURN(ExprPtr left, parse_not());
  while (skip_name("and")) {
    ASSIGN_OR_RETURN(ExprPtr right, parse_not());
    ASSIGN_OR_RETURN(left, make_binary(line, BinaryOp::kAnd, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const Nesting nesting(*this);
  RETURN_IF_ERROR(nesting.check());
  const int line = current().line;
  next();
  ASSIGN_OR_RETURN(ExprPtr operand, parse_not());
  const int depth = depth_of(operand);
  return make(line, Unary{UnaryOp::kNot, std::move(operand)}, depth);
}

Result<ExprPtr> ExpressionParser::parse_compare() {
  const int line = current().line;
  ASSIGN_OR_RETURN(ExprPtr first, parse_sum());
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  int depth = depth_of(first);
  while (true) {
    std::optional<CompareOp> op = compare_op(current());
    if (!op && at_name("in")) op = CompareOp::kIn;
    if (!op && at_name("not") && is_name(look_ahead(), "in")) {
      op = CompareOp::kNotIn;
      next();
    }
    if (!op) break;
    next();
    ASSIGN_OR_RETURN(ExprPtr right, parse_sum());
    depth = std::max(depth, depth_of(right));
    rest.emplace_back(*op, std::move(right));
  }
  if (rest.empty()) return first;
  return make(line, Compare{std::move(first), std::move(rest)}, depth);
}

Result<ExprPtr> ExpressionParser::parse_sum() {
  const int line = current().line;
  ASSIGN_OR_RETURN(ExprPtr left, parse_concat());
  while (at_op("+") || at_op("-")) {
    const BinaryOp op = at_op("+") ? BinaryOp::kAdd : BinaryOp::kSub;
    next();
    ASSIGN_OR_RETURN(ExprPtr right, parse_concat());
    ASSIGN_OR_RETURN(left, make_binary(line, op, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_concat() {
  const int line = current().line;
  ASSIGN_OR_RETURN(ExprPtr first, parse_product());
  if (!at_op("~")) return first;
  int depth = depth_of(first);
  std::vector<ExprPtr> parts;
  parts.push_back(std::move(first));
  while (skip_op("~")) {
    ASSIGN_OR_RETURN(ExprPtr part, parse_product());
    depth = std::max(depth, depth_of(part));
    parts.push_back(std::move(part));
  }
  return make(line, Concat{std::move(parts)}, depth);
}

Result<ExprPtr> ExpressionParser::parse_product() {
  const int line = current().line;
  ASSIGN_OR_RETURN(ExprPtr left, parse_power());
  while (at_op("*") || at_op("/") || at_op("//") || at_op("%")) {
    const BinaryOp op = at_op("*")    ? BinaryOp::kMul
                        : at_op("/")  ? BinaryOp::kDiv
                        : at_op("//") ? BinaryOp::kFloorDiv
                                      : BinaryOp::kMod;
    next();
    ASSIGN_OR_RETURN(ExprPtr right, parse_power());
    ASSIGN_OR_RETURN(left, make_binary(line, op, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_power() {
  const int line = current().line;
  ASSIGN_OR_RETURN(ExprPtr left, parse_unary(true));
  while (skip_op("**")) {
    ASSIGN_OR_RETURN(ExprPtr right, parse_unary(true));
    ASSIGN_OR_RETURN(left, make_binary(line, BinaryOp::kPow, std::move(left), std::move(right)));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::parse_unary(bool with_filter) {
  const Nesting nesting(*this);
  RETURN_IF_ERROR(nesting.check());
  const int line = current().line;
  ExprPtr node;
  if (at_op("-") || at_op("+")) {
    const UnaryOp op = at_op("-") ? UnaryOp::kNegate : UnaryOp::kPlus;
    next();
    ASSIGN_OR_RETURN(ExprPtr operand, parse_unary(false));
    const int depth = depth_of(operand);
    ASSIGN_OR_RETURN(node, make(line, Unary{op, std::move(operand)}, depth));
  } else {
    ASSIGN_OR_RETURN(node, parse_primary());
  }
  ASSIGN_OR_RETURN(node, parse_postfix(std::move(node)));
  return with_filter ? parse_filter_expression(std::move(node)) : Result<ExprPtr>(std::move(node));
}

Result<ExprPtr> ExpressionParser::parse_primary() {
  const Token token = current();
  switch (token.kind) {
    case TokenKind::kName: return parse_name();
    case TokenKind::kString: return parse_string();
    case TokenKind::kInteger:
      next();
      return make(token.line, Literal{Value::integer(token.integer)}, 0);
    case TokenKind::kFloat:
      next();
      return make(token.line, Literal{Value::real(token.real)}, 0);
    default: break;
  }
  if (skip_op("(")) {
    ASSIGN_OR_RETURN(ExprPtr inner, parse_tuple({.parentheses = true}));
    RETURN_IF_ERROR(expect_op(")"));
    return inner;
  }
  if (at_op("[")) return parse_list();
  if (at_op("{")) return parse_dict();
  return fail(fmt::format("unexpected {}", describe(token)));
}

Result<ExprPtr> ExpressionParser::parse_name() {
  const Token token = current();
  next();
  if (token.text == "true" || token.text == "True") {
    return make(token.line, Literal{Value::boolean(true)}, 0);
  }
  if (token.text == "false" || token.text == "False") {
    return make(token.line, Literal{Value::boolean(false)}, 0);
  }
  if (token.text == "none" || token.text == "None") {
    return make(token.line, Literal{Value::none()}, 0);
  }
  for (MacroDefinition* macro : open_macros_) {
    if (token.text == "caller") macro->uses_caller = true;
    if (token.text == "varargs") macro->uses_varargs = true;
    if (token.text == "kwargs") macro->uses_kwargs = true;
  }
  return make(token.line, Name{token.text}, 0);
}

Result<ExprPtr> ExpressionParser::parse_string() {
  const int line = current().line;
  std::string text;
  for (; at(TokenKind::kString); next()) text += current().text;
  return make(line, Literal{Value::string(std::move(text))}, 0);
}

Result<ExprPtr> ExpressionParser::parse_list() {
  const int line = current().line;
  next();
  std::vector<ExprPtr> items;
  int depth = 0;
  while (!at_op("]")) {
    if (!items.empty()) RETURN_IF_ERROR(expect_op(","));
    if (at_op("]")) break;
    ASSIGN_OR_RETURN(ExprPtr item, parse_expression());
    depth = std::max(depth, depth_of(item));
    items.push_back(std::move(item));
  }
  next();
  return make(line, ListDisplay{std::move(items), false}, depth);
}

Result<ExprPtr> ExpressionParser::parse_dict() {
  const int line = current().line;
  next();
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
  int depth = 0;
  while (!at_op("}")) {
    if (!entries.empty()) RETURN_IF_ERROR(expect_op(","));
    if (at_op("}")) break;
    ASSIGN_OR_RETURN(ExprPtr key, parse_expression());
    RETURN_IF_ERROR(expect_op(":"));
    ASSIGN_OR_RETURN(ExprPtr value, parse_expression());
    depth = std::max({depth, depth_of(key), depth_of(value)});
    entries.emplace_back(std::move(key), std::move(value));
  }
  next();
  return make(line, DictDisplay{std::move(entries)}, depth);
}

Result<ExprPtr> ExpressionParser::parse_postfix(ExprPtr node) {
  while (true) {
    if (at_op(".")) {
      ASSIGN_OR_RETURN(node, parse_attribute(std::move(node)));
    } else if (at_op("[")) {
      ASSIGN_OR_RETURN(node, parse_subscript(std::move(node)));
    } else if (at_op("(")) {
      ASSIGN_OR_RETURN(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_filter_expression(ExprPtr node) {
  while (true) {
    if (at_op("|")) {
      ASSIGN_OR_RETURN(node, parse_filter(std::move(node), false));
    } else if (at_name("is")) {
      ASSIGN_OR_RETURN(node, parse_test(std::move(node)));
    } else if (at_op("(")) {
      ASSIGN_OR_RETURN(node, parse_call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::parse_attribute(ExprPtr node) {
  const int line = current().line;
  const int depth = depth_of(node);
  next();
  const Token name = current();
  if (name.kind == TokenKind::kName) {
    next();
    return make(line, Attribute{std::move(node), name.text}, depth);
  }
  if (name.kind != TokenKind::kInteger) return fail("expected a name or a number after '.'");
  next();
  ASSIGN_OR_RETURN(ExprPtr key, make(line, Literal{Value::integer(name.integer)}, 0));
  return make(line, Item{std::move(node), std::move(key)}, depth);
}

Result<ExprPtr> ExpressionParser::parse_subscript(ExprPtr node) {
  const int line = current().line;
  next();
  if (at_op(":")) return parse_slice(std::move(node), nullptr, line);
  std::vector<ExprPtr> keys;
  int depth = depth_of(node);
  while (!at_op("]")) {
    if (!keys.empty()) RETURN_IF_ERROR(expect_op(","));
    ASSIGN_OR_RETURN(ExprPtr key, parse_expression());
    if (keys.empty() && at_op(":")) return parse_slice(std::move(node), std::move(key), line);
    depth = std::max(depth, depth_of(key));
    keys.push_back(std::move(key));
  }
  next();
  if (keys.size() == 1) return make(line, Item{std::move(node), std::move(keys[0])}, depth);
  ASSIGN_OR_RETURN(ExprPtr key, make(line, ListDisplay{std::move(keys), true}, depth));
  return make(line, Item{std::move(node), std::move(key)}, depth + 1);
}

// At the first ':' of object[start:stop:step].
Result<ExprPtr> ExpressionParser::parse_slice(ExprPtr object, ExprPtr start, int line) {
  next();
  ExprPtr stop, step;
  if (!at_op(":") && !at_op("]")) {
    ASSIGN_OR_RETURN(stop, parse_expression());
  }
  if (skip_op(":") && !at_op("]")) {
    ASSIGN_OR_RETURN(step, parse_expression());
  }
  RETURN_IF_ERROR(expect_op("]"));
  const int depth =
      std::max({depth_of(object), depth_of(start), depth_of(stop), depth_of(step)});
  return make(line, Slice{std::move(object), std::move(start), std::move(stop), std::move(step)},
              depth);
}

}  // namespace lmdeploy::jinja
