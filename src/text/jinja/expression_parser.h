// Recursive descent over the tokens of one template: the expressions. parser.cc adds statements.
#pragma once

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace lmdeploy::jinja {

// Levels of expressions in a part of the tree.
inline int depth_of(const ExprPtr& expr) { return expr == nullptr ? 0 : expr->depth; }

inline int depth_of(const CallArguments& arguments) {
  int depth = std::max(depth_of(arguments.star), depth_of(arguments.star_star));
  for (const ExprPtr& value : arguments.positional) depth = std::max(depth, depth_of(value));
  for (const auto& [name, value] : arguments.named) depth = std::max(depth, depth_of(value));
  return depth;
}

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, int max_depth)
      : tokens_(std::move(tokens)), max_depth_(max_depth) {}

 protected:
  // Counts nested constructs; a failed enter() leaves with its Status.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Nesting() { --parser_.depth_; }
    Status check() const;

   private:
    ExpressionParser& parser_;
  };

  // Macros whose body is being parsed, outermost first.
  std::vector<MacroDefinition*> open_macros_;

  const Token& current() const { return tokens_[pos_]; }
  const Token& look_ahead() const { return tokens_[std::min(pos_ + 1, tokens_.size() - 1)]; }
  void next() { pos_ = std::min(pos_ + 1, tokens_.size() - 1); }
  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_op(std::string_view op) const { return is_op(current(), op); }
  bool at_name(std::string_view name) const { return is_name(current(), name); }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  Status expect(TokenKind kind);
  Status expect_op(std::string_view op);
  Status expect_name(std::string_view name);
  Result<std::string> expect_any_name();
  Status fail(std::string_view message) const;
  // How an error names the token.
  static std::string describe(const Token& token);
  static bool is_op(const Token& token, std::string_view op);
  static bool is_name(const Token& token, std::string_view name);

  struct TupleOptions {
    bool conditional = true;             // `a if b` allowed in the parts
    bool parentheses = false;            // inside explicit parentheses: () is the empty tuple
    std::string_view end_name = {};      // a name that ends the tuple
  };
  Result<ExprPtr> parse_tuple(TupleOptions options);
  Result<ExprPtr> parse_expression() { return parse_conditional(); }
  Result<ExprPtr> parse_or();
  // | name(...) | name ..., starting at a pipe (or at the name when `inline_start`).
  Result<ExprPtr> parse_filter(ExprPtr input, bool inline_start);
  // For `set` and `for`. `with_attribute`: namespace attributes are allowed.
  Result<Target> parse_target(std::string_view end_name, bool with_attribute);

 private:
  template <class Node>
  Result<ExprPtr> make(int line, Node node, int deepest_child);
  Result<ExprPtr> make_binary(int line, BinaryOp op, ExprPtr left, ExprPtr right);
  Result<ExprPtr> parse_conditional();
  Result<ExprPtr> parse_and();
  Result<ExprPtr> parse_not();
  Result<ExprPtr> parse_compare();
  Result<ExprPtr> parse_sum();
  Result<ExprPtr> parse_concat();
  Result<ExprPtr> parse_product();
  Result<ExprPtr> parse_power();
  Result<ExprPtr> parse_unary(bool with_filter);
  Result<ExprPtr> parse_primary();
  Result<ExprPtr> parse_name();
  Result<ExprPtr> parse_string();
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_postfix(ExprPtr node);
  Result<ExprPtr> parse_filter_expression(ExprPtr node);
  Result<ExprPtr> parse_attribute(ExprPtr node);
  Result<ExprPtr> parse_subscript(ExprPtr node);
  Result<ExprPtr> parse_slice(ExprPtr object, ExprPtr start, int line);
  Result<ExprPtr> parse_call(ExprPtr callee);
  Result<ExprPtr> parse_test(ExprPtr input);
  Result<CallArguments> parse_arguments();
  Status parse_argument(CallArguments& arguments);
  Result<std::string> parse_dotted_name();
  Result<Target> parse_target_part(std::string_view end_name, bool with_attribute);

  std::vector<Token> tokens_;
  size_t pos_ = 0;
  int depth_ = 0;
  int max_depth_;
};

template <class Node>
Result<ExprPtr> ExpressionParser::make(int line, Node node, int deepest_child) {
  auto expr = std::make_unique<Expr>();
  expr->line = line;
  expr->depth = deepest_child + 1;
  if (expr->depth > 2 * max_depth_) {
    return fail(fmt::format("an expression is deeper than {} levels", 2 * max_depth_));
  }
  expr->node = std::move(node);
  return expr;
}

}  // namespace lmdeploy::jinja
