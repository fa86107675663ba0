#include "text/jinja/evaluator.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/compare.h"
#include "text/jinja/filters.h"
#include "text/jinja/globals.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/tests.h"

namespace lmdeploy::jinja {

namespace {

constexpr int64_t kStepsPerClockCheck = 256;

}  // namespace

Evaluator::Evaluator(const Limits& limits)
    : limits_(limits),
      deadline_(std::chrono::steady_clock::now() +
                std::chrono::microseconds(static_cast<int64_t>(limits.max_seconds * 1e6))),
      globals_(std::make_shared<Scope>(nullptr)),
      root_(std::make_shared<Scope>(globals_)),
      scope_(root_) {}

Evaluator::~Evaluator() {
  for (const auto& space : namespaces_) space->attributes.clear();
  for (const auto& scope : captured_scopes_) scope->variables.clear();
  while (!namespaces_.empty()) namespaces_.pop_back();
  while (!captured_scopes_.empty()) captured_scopes_.pop_back();
}

Result<std::string> Evaluator::render(const Body& body,
                                      std::vector<std::pair<std::string, Value>> variables) {
  globals_->variables = global_functions();
  for (auto& [name, value] : variables) globals_->set(name, std::move(value));
  std::string out;
  out_ = &out;
  const Result<Flow> flow = run(body);
  out_ = nullptr;
  if (flow.ok()) return out;
  if (refused_ || error_line_ == 0) return flow.status();
  return make_status(flow.status().code(), "line {}: {}", error_line_, flow.status().message());
}

Status Evaluator::step(int64_t work) {
  steps_ += work;
  if (steps_ > limits_.max_steps) {
    return invalid_argument("the template takes more than {} steps", limits_.max_steps);
  }
  if (steps_ < next_clock_check_) return {};
  next_clock_check_ = steps_ + kStepsPerClockCheck;
  if (std::chrono::steady_clock::now() > deadline_) {
    return invalid_argument("the template runs longer than {} seconds", limits_.max_seconds);
  }
  return {};
}

Status Evaluator::scan(size_t bytes) { return step(static_cast<int64_t>(bytes / 64)); }

Status Evaluator::reserve(size_t bytes) {
  RETURN_IF_ERROR(check_memory(bytes));
  return step(static_cast<int64_t>(bytes / 256));
}

Status Evaluator::allocate(size_t bytes) {
  RETURN_IF_ERROR(reserve(bytes));
  memory_bytes_ += bytes;
  return {};
}

Status Evaluator::check_memory(size_t bytes) const {
  if (memory_bytes_ > limits_.max_memory_bytes || bytes > limits_.max_memory_bytes - memory_bytes_) {
    return invalid_argument("the template needs more than {} bytes of memory",
                            limits_.max_memory_bytes);
  }
  return {};
}

Status Evaluator::refuse(std::string_view message) {
  refused_ = true;
  return invalid_argument("the chat template refused the conversation: {}", message);
}

Value Evaluator::make_namespace(std::vector<std::pair<std::string, Value>> attributes) {
  namespaces_.push_back(std::make_shared<NamespaceObject>());
  namespaces_.back()->attributes = std::move(attributes);
  return Value::opaque(namespaces_.back());
}

// A value that an operation made: its memory is counted, its nesting bounded.
Result<Value> Evaluator::accept(Result<Value> value) {
  if (!value.ok()) return value;
  RETURN_IF_ERROR(allocate(value->fresh_bytes()));
  if (value->nesting() > limits_.max_value_nesting) {
    return invalid_argument("a value nests deeper than {} levels", limits_.max_value_nesting);
  }
  if (value->weight() > limits_.max_value_weight) {
    return invalid_argument("a value holds more than {} others", limits_.max_value_weight);
  }
  return value;
}

Result<Value> Evaluator::eval(const Expr& expr) {
  RETURN_IF_ERROR(step());
  if (depth_ >= limits_.max_call_depth) {
    return invalid_argument("the template calls itself deeper than {} levels",
                            limits_.max_call_depth);
  }
  ++depth_;
  Result<Value> value = std::visit([this](const auto& node) { return eval(node); }, expr.node);
  --depth_;
  value = accept(std::move(value));
  if (!value.ok() && error_line_ == 0) error_line_ = expr.line;
  return value;
}

Result<Value> Evaluator::eval(const Literal& node) { return node.value; }

Result<Value> Evaluator::eval(const Name& node) {
  if (const Value* value = scope_->find(node.name)) return *value;
  return Value::undefined(fmt::format("'{}' is undefined", node.name));
}

Result<Value> Evaluator::eval(const Attribute& node) {
  ASSIGN_OR_RETURN(const Value object, eval(*node.object));
  return get_attribute(object, node.name);
}

Result<Value> Evaluator::eval(const Item& node) {
  ASSIGN_OR_RETURN(const Value object, eval(*node.object));
  ASSIGN_OR_RETURN(const Value key, eval(*node.key));
  return get_item(object, key);
}

Result<Value> Evaluator::eval_or_none(const ExprPtr& expr) {
  if (expr == nullptr) return Value::none();
  return eval(*expr);
}

Result<Value> Evaluator::eval(const Slice& node) {
  ASSIGN_OR_RETURN(const Value object, eval(*node.object));
  ASSIGN_OR_RETURN(const Value start, eval_or_none(node.start));
  ASSIGN_OR_RETURN(const Value stop, eval_or_none(node.stop));
  ASSIGN_OR_RETURN(const Value step, eval_or_none(node.step));
  return slice(*this, object, start, stop, step);
}

Result<Value> Evaluator::eval(const Call& node) {
  ASSIGN_OR_RETURN(const Value callee, eval(*node.callee));
  ASSIGN_OR_RETURN(Arguments arguments, eval_arguments(node.arguments));
  return call(callee, arguments);
}

Result<Value> Evaluator::eval(const Filter& node) {
  Value input = block_text_;
  if (node.input != nullptr) {
    ASSIGN_OR_RETURN(input, eval(*node.input));
  }
  ASSIGN_OR_RETURN(Arguments arguments, eval_arguments(node.arguments));
  return apply_filter(node.name, input, arguments);
}

Result<Value> Evaluator::eval(const Test& node) {
  ASSIGN_OR_RETURN(const Value input, eval(*node.input));
  ASSIGN_OR_RETURN(Arguments arguments, eval_arguments(node.arguments));
  ASSIGN_OR_RETURN(const bool passed, apply_test(node.name, input, arguments));
  return Value::boolean(passed);
}

Result<Value> Evaluator::eval(const Unary& node) {
  ASSIGN_OR_RETURN(const Value operand, eval(*node.operand));
  if (node.op == UnaryOp::kNot) return Value::boolean(!operand.truthy());
  return negate(operand, node.op == UnaryOp::kNegate);
}

Result<Value> Evaluator::eval(const Binary& node) {
  ASSIGN_OR_RETURN(const Value left, eval(*node.left));
  if (node.op == BinaryOp::kAnd && !left.truthy()) return left;
  if (node.op == BinaryOp::kOr && left.truthy()) return left;
  ASSIGN_OR_RETURN(const Value right, eval(*node.right));
  if (node.op == BinaryOp::kAnd || node.op == BinaryOp::kOr) return right;
  return arithmetic(*this, node.op, left, right);
}

Result<Value> Evaluator::eval(const Compare& node) {
  ASSIGN_OR_RETURN(Value left, eval(*node.first));
  for (const auto& [op, expr] : node.rest) {
    ASSIGN_OR_RETURN(Value right, eval(*expr));
    ASSIGN_OR_RETURN(const bool holds, compare_with(*this, op, left, right));
    if (!holds) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Evaluator::eval(const Concat& node) {
  std::string text;
  for (const ExprPtr& part : node.parts) {
    ASSIGN_OR_RETURN(const Value value, eval(*part));
    ASSIGN_OR_RETURN(const std::string piece, to_string(value));
    RETURN_IF_ERROR(check_memory(text.size() + piece.size()));
    text += piece;
  }
  return Value::string(std::move(text));
}

Result<Value> Evaluator::eval(const Conditional& node) {
  ASSIGN_OR_RETURN(const Value condition, eval(*node.condition));
  if (condition.truthy()) return eval(*node.yes);
  if (node.no != nullptr) return eval(*node.no);
  return Value::undefined("an inline if without else was false, so its value is undefined");
}

Result<Value> Evaluator::eval(const ListDisplay& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExprPtr& item : node.items) {
    ASSIGN_OR_RETURN(Value value, eval(*item));
    items.push_back(std::move(value));
  }
  return node.is_tuple ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

Result<Value> Evaluator::eval(const DictDisplay& node) {
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [key_expr, value_expr] : node.entries) {
    ASSIGN_OR_RETURN(Value key, eval(*key_expr));
    ASSIGN_OR_RETURN(Value value, eval(*value_expr));
    RETURN_IF_ERROR(insert(*this, entries, std::move(key), std::move(value)));
  }
  return Value::dict(std::move(entries));
}

Result<Arguments> Evaluator::eval_arguments(const CallArguments& written) {
  Arguments arguments;
  for (const ExprPtr& expr : written.positional) {
    ASSIGN_OR_RETURN(Value value, eval(*expr));
    arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, expr] : written.named) {
    ASSIGN_OR_RETURN(Value value, eval(*expr));
    arguments.named.emplace_back(name, std::move(value));
  }
  if (written.star != nullptr) {
    ASSIGN_OR_RETURN(const Value star, eval(*written.star));
    ASSIGN_OR_RETURN(const std::vector<Value> items, iterate(star));
    arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
  }
  if (written.star_star != nullptr) {
    ASSIGN_OR_RETURN(const Value extra, eval(*written.star_star));
    if (!extra.is_dict()) return invalid_argument("'**' needs a dict, not '{}'", extra.type_name());
    for (const auto& [key, value] : extra.as_dict().entries) {
      if (!key.is_string()) return invalid_argument("'**' needs a dict with string keys");
      arguments.named.emplace_back(key.as_string(), value);
    }
  }
  return arguments;
}

Result<Value> Evaluator::call(const Value& callee, Arguments& arguments) {
  if (callee.is_undefined()) return invalid_argument("{}", callee.undefined_message());
  if (!callee.is(Kind::kOpaque) || !callee.as_opaque()->callable()) {
    return invalid_argument("'{}' object is not callable", callee.type_name());
  }
  return callee.as_opaque()->call(*this, arguments);
}

Result<Value> Evaluator::apply_filter(std::string_view name, const Value& input,
                                      Arguments& arguments) {
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) return invalid_argument("there is no filter named '{}'", name);
  RETURN_IF_ERROR(step());
  return filter(*this, input, arguments);
}

Result<bool> Evaluator::apply_test(std::string_view name, const Value& input,
                                   Arguments& arguments) {
  const TestFunction test = find_test(name);
  if (test == nullptr) return invalid_argument("there is no test named '{}'", name);
  RETURN_IF_ERROR(step());
  return test(*this, input, arguments);
}

Result<std::string> Evaluator::to_string(const Value& value) {
  if (value.is_string()) {
    RETURN_IF_ERROR(step(static_cast<int64_t>(value.as_string().size() / 256)));
    return value.as_string();
  }
  return python_str(*this, value);
}

Result<std::vector<Value>> Evaluator::iterate(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined: return std::vector<Value>();
    case Kind::kString: {
      std::vector<Value> items;
      const StringObject& text = value.string_object();
      RETURN_IF_ERROR(allocate(static_cast<size_t>(text.length) * kSmallStringBytes));
      for (size_t pos = 0; pos < text.text.size();) {
        const size_t start = pos;
        utf8_next(text.text, pos);
        items.push_back(Value::string(text.text.substr(start, pos - start)));
      }
      return items;
    }
    case Kind::kDict: {
      std::vector<Value> items;
      RETURN_IF_ERROR(step(static_cast<int64_t>(value.as_dict().entries.size())));
      RETURN_IF_ERROR(allocate(value.as_dict().entries.size() * sizeof(Value)));
      for (const auto& [key, held] : value.as_dict().entries) items.push_back(key);
      return items;
    }
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
    case Kind::kView: {
      RETURN_IF_ERROR(step(static_cast<int64_t>(value.items().size())));
      RETURN_IF_ERROR(allocate(value.items().size() * sizeof(Value)));
      return value.items();
    }
    case Kind::kIterator: return spend_iterator(*this, value);
    default: return invalid_argument("'{}' object is not iterable", value.type_name());
  }
}

}  // namespace lmdeploy::jinja
