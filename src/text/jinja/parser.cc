#include "text/jinja/parser.h"

#include <algorithm>

#include "text/jinja/expression_parser.h"

namespace lmdeploy::jinja {

namespace {

using EndNames = std::initializer_list<std::string_view>;

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Result<Body> run() {
    ASSIGN_OR_RETURN(Body body, parse_until({}));
    return body;
  }

 private:
  using StatementResult = Result<std::unique_ptr<Statement>>;

  template <class Node>
  static std::unique_ptr<Statement> make(int line, Node node) {
    auto statement = std::make_unique<Statement>();
    statement->line = line;
    statement->node = std::move(node);
    return statement;
  }

  bool at_any(EndNames names) const {
    return std::any_of(names.begin(), names.end(), [&](auto name) { return at_name(name); });
  }

  // Statements up to "{% NAME" of one of `ends`; that name is then the current token.
  Result<Body> parse_until(EndNames ends) {
    const Nesting nesting(*this);
    RETURN_IF_ERROR(nesting.check());
    Body body;
    while (!at(TokenKind::kEnd)) {
      const int line = current().line;
      if (at(TokenKind::kData)) {
        body.push_back(make(line, Text{current().text}));
        next();
      } else if (at(TokenKind::kVariableBegin)) {
        next();
        Print print;
        ASSIGN_OR_RETURN(ExprPtr value, parse_tuple({}));
        print.values.push_back(std::move(value));
        RETURN_IF_ERROR(expect(TokenKind::kVariableEnd));
        body.push_back(make(line, std::move(print)));
      } else {
        next();
        if (at_any(ends)) return body;
        ASSIGN_OR_RETURN(auto statement, parse_statement());
        RETURN_IF_ERROR(expect(TokenKind::kBlockEnd));
        body.push_back(std::move(statement));
      }
    }
    if (ends.size() == 0) return body;
    return fail(fmt::format("the template ends where '{{% {} %}}' was expected", *(ends.end() - 1)));
  }

  // The body of the statement that ends here, and its end tag, which is left as current token.
  Result<Body> parse_body(EndNames ends) {
    skip_op(":");
    RETURN_IF_ERROR(expect(TokenKind::kBlockEnd));
    return parse_until(ends);
  }

  Result<Body> parse_body_and_end(std::string_view end) {
    ASSIGN_OR_RETURN(Body body, parse_body({end}));
    next();
    return body;
  }

  StatementResult parse_statement() {
    const int line = current().line;
    ASSIGN_OR_RETURN(const std::string tag, expect_any_name());
    if (tag == "if") return parse_if(line);
    if (tag == "for") return parse_for(line);
    if (tag == "set") return parse_set(line);
    if (tag == "macro") return parse_macro(line);
    if (tag == "call") return parse_call_block(line);
    if (tag == "filter") return parse_filter_block(line);
    if (tag == "with") return parse_with(line);
    if (tag == "print") return parse_print(line);
    if (tag == "block") return parse_block(line);
    if (tag == "break" || tag == "continue") return parse_loop_control(line, tag == "break");
    if (tag == "generation") {
      ASSIGN_OR_RETURN(Body body, parse_generation());
      return make(line, Generation{std::move(body)});
    }
    if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
      return fail(fmt::format("'{}' needs other templates; a chat template is one file", tag));
    }
    if (tag == "autoescape") return fail("'autoescape' is not supported in a chat template");
    return fail(fmt::format("unknown tag '{}'", tag));
  }

  StatementResult parse_if(int line) {
    If node;
    while (true) {
      ASSIGN_OR_RETURN(ExprPtr condition, parse_tuple({.conditional = false}));
      ASSIGN_OR_RETURN(Body body, parse_body({"elif", "else", "endif"}));
      node.branches.emplace_back(std::move(condition), std::move(body));
      if (skip_name("elif")) continue;
      if (skip_name("else")) {
        ASSIGN_OR_RETURN(node.otherwise, parse_body({"endif"}));
      }
      next();
      return make(line, std::move(node));
    }
  }

  StatementResult parse_for(int line) {
    For node;
    ASSIGN_OR_RETURN(node.target, parse_target("in", false));
    RETURN_IF_ERROR(expect_name("in"));
    ASSIGN_OR_RETURN(node.iterable, parse_tuple({.conditional = false, .end_name = "recursive"}));
    if (skip_name("if")) {
      ASSIGN_OR_RETURN(node.condition, parse_expression());
    }
    node.recursive = skip_name("recursive");
    ++open_loops_;
    Result<Body> body = parse_body({"endfor", "else"});
    --open_loops_;
    ASSIGN_OR_RETURN(node.body, std::move(body));
    if (skip_name("else")) {
      ASSIGN_OR_RETURN(node.otherwise, parse_body({"endfor"}));
    }
    next();
    return make(line, std::move(node));
  }

  StatementResult parse_set(int line) {
    ASSIGN_OR_RETURN(Target target, parse_target({}, true));
    if (skip_op("=")) {
      ASSIGN_OR_RETURN(ExprPtr value, parse_tuple({}));
      return make(line, Set{std::move(target), std::move(value)});
    }
    ASSIGN_OR_RETURN(ExprPtr filter, parse_filter(nullptr, false));
    ASSIGN_OR_RETURN(Body body, parse_body_and_end("endset"));
    return make(line, SetBlock{std::move(target), std::move(filter), std::move(body)});
  }

  Status parse_signature(MacroDefinition& macro) {
    RETURN_IF_ERROR(expect_op("("));
    while (!at_op(")")) {
      if (!macro.parameters.empty()) RETURN_IF_ERROR(expect_op(","));
      Parameter parameter;
      ASSIGN_OR_RETURN(parameter.name, expect_any_name());
      if (skip_op("=")) {
        ASSIGN_OR_RETURN(parameter.default_value, parse_expression());
      } else if (!macro.parameters.empty() && macro.parameters.back().default_value != nullptr) {
        return fail("a parameter without a default follows one with a default");
      }
      macro.parameters.push_back(std::move(parameter));
    }
    next();
    return {};
  }

  Status parse_macro_body(MacroDefinition& macro, std::string_view end) {
    open_macros_.push_back(&macro);
    const int loops = std::exchange(open_loops_, 0);
    Result<Body> body = parse_body_and_end(end);
    open_loops_ = loops;
    open_macros_.pop_back();
    ASSIGN_OR_RETURN(macro.body, std::move(body));
    return {};
  }

  StatementResult parse_macro(int line) {
    auto macro = std::make_shared<MacroDefinition>();
    ASSIGN_OR_RETURN(macro->name, expect_any_name());
    RETURN_IF_ERROR(parse_signature(*macro));
    RETURN_IF_ERROR(parse_macro_body(*macro, "endmacro"));
    return make(line, Macro{std::move(macro)});
  }

  StatementResult parse_call_block(int line) {
    auto caller = std::make_shared<MacroDefinition>();
    if (at_op("(")) RETURN_IF_ERROR(parse_signature(*caller));
    ASSIGN_OR_RETURN(ExprPtr call, parse_expression());
    if (!std::holds_alternative<Call>(call->node)) return fail("a call block needs a call");
    RETURN_IF_ERROR(parse_macro_body(*caller, "endcall"));
    return make(line, CallBlock{std::move(call), std::move(caller)});
  }

  StatementResult parse_filter_block(int line) {
    ASSIGN_OR_RETURN(ExprPtr filter, parse_filter(nullptr, true));
    ASSIGN_OR_RETURN(Body body, parse_body_and_end("endfilter"));
    return make(line, FilterBlock{std::move(filter), std::move(body)});
  }

  StatementResult parse_with(int line) {
    With node;
    while (!at(TokenKind::kBlockEnd)) {
      if (!node.assignments.empty()) RETURN_IF_ERROR(expect_op(","));
      ASSIGN_OR_RETURN(Target target, parse_target({}, false));
      RETURN_IF_ERROR(expect_op("="));
      ASSIGN_OR_RETURN(ExprPtr value, parse_expression());
      node.assignments.emplace_back(std::move(target), std::move(value));
    }
    ASSIGN_OR_RETURN(node.body, parse_body_and_end("endwith"));
    return make(line, std::move(node));
  }

  StatementResult parse_print(int line) {
    Print node;
    while (!at(TokenKind::kBlockEnd)) {
      if (!node.values.empty()) RETURN_IF_ERROR(expect_op(","));
      ASSIGN_OR_RETURN(ExprPtr value, parse_expression());
      node.values.push_back(std::move(value));
    }
    return make(line, std::move(node));
  }

  StatementResult parse_block(int line) {
    Block node;
    ASSIGN_OR_RETURN(node.name, expect_any_name());
    node.scoped = skip_name("scoped");
    ASSIGN_OR_RETURN(node.body, parse_body_and_end("endblock"));
    skip_name(node.name);
    return make(line, std::move(node));
  }

  StatementResult parse_loop_control(int line, bool is_break) {
    if (open_loops_ == 0) return fail("'break' and 'continue' belong inside a for loop");
    return make(line, LoopControl{is_break});
  }

  Result<Body> parse_generation() { return parse_body_and_end("endgeneration"); }

  int open_loops_ = 0;  // around the statement being parsed, within its macro
};

}  // namespace

Result<Body> parse_template(std::string_view source, const Limits& limits) {
  ASSIGN_OR_RETURN(std::vector<Token> tokens, tokenize(source, limits.max_tokens));
  return Parser(std::move(tokens), limits.max_syntax_depth).run();
}

}  // namespace lmdeploy::jinja
