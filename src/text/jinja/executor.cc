// The statements of a template: what writes output, binds names and steers the flow.
#include <algorithm>

#include "text/jinja/evaluator.h"
#include "text/jinja/loop.h"

namespace lmdeploy::jinja {

namespace {

constexpr int kMaxScopeDepth = 1000;  // scopes inside scopes, those that macros captured included

struct MacroObject : Opaque {
  MacroObject(std::shared_ptr<const MacroDefinition> macro, std::shared_ptr<Scope> scope)
      : definition(std::move(macro)), closure(std::move(scope)) {}
  std::string type_name() const override { return "Macro"; }
  std::string repr() const override {
    return definition->name.empty() ? "<Macro anonymous>" : "<Macro '" + definition->name + "'>";
  }
  bool callable() const override { return true; }
  Result<std::optional<Value>> attribute(Evaluator&, std::string_view name) override {
    if (name == "name") return std::optional<Value>(Value::string(definition->name));
    return std::optional<Value>();
  }
  Result<Value> call(Evaluator& evaluator, Arguments& arguments) override {
    return evaluator.call_macro(*definition, closure, arguments);
  }
  std::shared_ptr<const MacroDefinition> definition;
  std::shared_ptr<Scope> closure;
};

// Finishes a loop however its block is left.
class LoopEnd {
 public:
  explicit LoopEnd(LoopObject& loop) : loop_(loop) {}
  ~LoopEnd() { loop_.finish(); }
  LoopEnd(const LoopEnd&) = delete;

 private:
  LoopObject& loop_;
};

}  // namespace

// Makes `scope` the current one until the end of the block.
class Evaluator::ScopeGuard {
 public:
  ScopeGuard(Evaluator& evaluator, std::shared_ptr<Scope> scope)
      : evaluator_(evaluator), saved_(std::exchange(evaluator.scope_, std::move(scope))) {}
  ~ScopeGuard() { evaluator_.scope_ = std::move(saved_); }
  ScopeGuard(const ScopeGuard&) = delete;

 private:
  Evaluator& evaluator_;
  std::shared_ptr<Scope> saved_;
};

Status Evaluator::emit(std::string_view text) {
  output_bytes_ += text.size();
  if (output_bytes_ > limits_.max_output_bytes) {
    return invalid_argument("the template writes more than {} bytes", limits_.max_output_bytes);
  }
  out_->append(text);
  return {};
}

Result<Flow> Evaluator::run(const Body& body) {
  if (depth_ >= limits_.max_call_depth) {
    return invalid_argument("the template calls itself deeper than {} levels",
                            limits_.max_call_depth);
  }
  ++depth_;
  Result<Flow> flow = Flow::kNormal;
  for (const auto& statement : body) {
    flow = run(*statement);
    if (!flow.ok() || *flow != Flow::kNormal) break;
  }
  --depth_;
  return flow;
}

Result<Flow> Evaluator::run(const Statement& statement) {
  Result<Flow> flow = Flow::kNormal;
  if (Status status = step(); !status.ok()) {
    flow = status;
  } else {
    flow = std::visit([this](const auto& node) { return exec(node); }, statement.node);
  }
  if (!flow.ok() && error_line_ == 0) error_line_ = statement.line;
  return flow;
}

Result<Flow> Evaluator::exec(const Text& node) {
  RETURN_IF_ERROR(emit(node.text));
  return Flow::kNormal;
}

Result<Flow> Evaluator::exec(const Print& node) {
  for (const ExprPtr& expr : node.values) {
    ASSIGN_OR_RETURN(const Value value, eval(*expr));
    ASSIGN_OR_RETURN(const std::string text, to_string(value));
    RETURN_IF_ERROR(emit(text));
  }
  return Flow::kNormal;
}

Result<Flow> Evaluator::exec(const If& node) {
  for (const auto& [condition, body] : node.branches) {
    ASSIGN_OR_RETURN(const Value value, eval(*condition));
    if (value.truthy()) return run(body);
  }
  return run(node.otherwise);
}

Result<Flow> Evaluator::exec(const For& node) {
  ASSIGN_OR_RETURN(const Value items, eval(*node.iterable));
  return run_loop(node, items, 0);
}

Result<Flow> Evaluator::run_loop(const For& node, const Value& source, int depth0) {
  Value items = source;
  if (!source.is_sequence_object()) {
    ASSIGN_OR_RETURN(std::vector<Value> parts, iterate(source));
    items = Value::list(std::move(parts));
  }
  const auto loop = std::make_shared<LoopObject>(node, scope_, std::move(items), depth0);
  const LoopEnd end(*loop);
  const Value loop_value = Value::opaque(loop);
  bool any = false;
  while (true) {
    ASSIGN_OR_RETURN(std::optional<Value> item, loop->advance(*this));
    if (!item) break;
    any = true;
    const ScopeGuard guard(*this, std::make_shared<Scope>(scope_));
    scope_->set("loop", loop_value);
    RETURN_IF_ERROR(assign(node.target, std::move(*item)));
    ASSIGN_OR_RETURN(const Flow flow, run(node.body));
    if (flow == Flow::kBreak) break;
  }
  if (any) return Flow::kNormal;
  const ScopeGuard guard(*this, std::make_shared<Scope>(scope_));
  return run(node.otherwise);
}

Result<bool> Evaluator::loop_accepts(const For& loop, const std::shared_ptr<Scope>& outer,
                                     const Value& item) {
  const ScopeGuard guard(*this, std::make_shared<Scope>(outer));
  RETURN_IF_ERROR(assign(loop.target, item));
  ASSIGN_OR_RETURN(const Value accepted, eval(*loop.condition));
  return accepted.truthy();
}

Result<Value> Evaluator::recurse_loop(const For& loop, const std::shared_ptr<Scope>& outer,
                                      const Value& items, int depth0) {
  const ScopeGuard guard(*this, outer);
  std::string text;
  std::string* const saved = std::exchange(out_, &text);
  const Result<Flow> flow = run_loop(loop, items, depth0);
  out_ = saved;
  if (!flow.ok()) return flow.status();
  return Value::string(std::move(text));
}

Result<Flow> Evaluator::exec(const Set& node) {
  ASSIGN_OR_RETURN(Value value, eval(*node.value));
  RETURN_IF_ERROR(assign(node.target, std::move(value)));
  return Flow::kNormal;
}

// The text that `body` writes, in a scope of its own.
Result<Value> Evaluator::capture(const Body& body) {
  const ScopeGuard guard(*this, std::make_shared<Scope>(scope_));
  std::string text;
  std::string* const saved = std::exchange(out_, &text);
  const Result<Flow> flow = run(body);
  out_ = saved;
  if (!flow.ok()) return flow.status();
  return Value::string(std::move(text));
}

Result<Value> Evaluator::filter_text(const Expr& filter, Value text) {
  const Value saved = std::exchange(block_text_, std::move(text));
  Result<Value> filtered = eval(filter);
  block_text_ = saved;
  return filtered;
}

Result<Flow> Evaluator::exec(const SetBlock& node) {
  ASSIGN_OR_RETURN(Value text, capture(node.body));
  if (node.filter != nullptr) {
    ASSIGN_OR_RETURN(text, filter_text(*node.filter, std::move(text)));
  }
  RETURN_IF_ERROR(assign(node.target, std::move(text)));
  return Flow::kNormal;
}

Result<Flow> Evaluator::exec(const FilterBlock& node) {
  ASSIGN_OR_RETURN(Value text, capture(node.body));
  ASSIGN_OR_RETURN(const Value filtered, filter_text(*node.filter, std::move(text)));
  if (!filtered.is_string()) {
    return invalid_argument("a filter block must give a string, not '{}'", filtered.type_name());
  }
  RETURN_IF_ERROR(emit(filtered.as_string()));
  return Flow::kNormal;
}

Value Evaluator::make_macro(const std::shared_ptr<const MacroDefinition>& definition) {
  memory_bytes_ += sizeof(Scope) + sizeof(MacroObject);
  captured_scopes_.push_back(scope_);
  return Value::opaque(std::make_shared<MacroObject>(definition, scope_));
}

Result<Flow> Evaluator::exec(const Macro& node) {
  scope_->set(node.definition->name, make_macro(node.definition));
  return Flow::kNormal;
}

Result<Flow> Evaluator::exec(const CallBlock& node) {
  const Call& call_node = std::get<Call>(node.call->node);
  ASSIGN_OR_RETURN(const Value callee, eval(*call_node.callee));
  ASSIGN_OR_RETURN(Arguments arguments, eval_arguments(call_node.arguments));
  arguments.named.emplace_back("caller", make_macro(node.caller));
  ASSIGN_OR_RETURN(const Value value, call(callee, arguments));
  if (!value.is_string()) {
    return invalid_argument("a call block must call what gives a string, not '{}'",
                            value.type_name());
  }
  RETURN_IF_ERROR(emit(value.as_string()));
  return Flow::kNormal;
}

Result<Flow> Evaluator::exec(const With& node) {
  std::vector<Value> values;
  for (const auto& [target, expr] : node.assignments) {
    ASSIGN_OR_RETURN(Value value, eval(*expr));
    values.push_back(std::move(value));
  }
  const ScopeGuard guard(*this, std::make_shared<Scope>(scope_));
  for (size_t i = 0; i < values.size(); ++i) {
    RETURN_IF_ERROR(assign(node.assignments[i].first, std::move(values[i])));
  }
  return run(node.body);
}

Result<Flow> Evaluator::exec(const Block& node) {
  const ScopeGuard guard(*this, std::make_shared<Scope>(node.scoped ? scope_ : root_));
  return run(node.body);
}

Result<Flow> Evaluator::exec(const Generation& node) {
  const ScopeGuard guard(*this, std::make_shared<Scope>(scope_));
  return run(node.body);
}

Result<Flow> Evaluator::exec(const LoopControl& node) {
  return node.is_break ? Flow::kBreak : Flow::kContinue;
}

Status Evaluator::assign(const Target& target, Value value) {
  switch (target.kind) {
    case Target::Kind::kName: scope_->set(target.name, std::move(value)); return {};
    case Target::Kind::kTuple: return assign_tuple(target, value);
    case Target::Kind::kNamespaceAttribute: break;
  }
  const Value* held = scope_->find(target.name);
  NamespaceObject* space = held == nullptr ? nullptr : held->as<NamespaceObject>();
  if (space == nullptr) {
    return invalid_argument("cannot set '{}.{}': '{}' is no namespace", target.name,
                            target.attribute, target.name);
  }
  if (target.attribute.starts_with("_")) {
    return invalid_argument("a namespace cannot hold '{}', which starts with an underscore",
                            target.attribute);
  }
  space->set(target.attribute, std::move(value));
  return {};
}

Status Evaluator::assign_tuple(const Target& target, const Value& value) {
  ASSIGN_OR_RETURN(std::vector<Value> items, iterate(value));
  if (items.size() != target.parts.size()) {
    return invalid_argument("cannot unpack {} values into {} names", items.size(),
                            target.parts.size());
  }
  for (size_t i = 0; i < items.size(); ++i) {
    RETURN_IF_ERROR(assign(target.parts[i], std::move(items[i])));
  }
  return {};
}

Result<Value> Evaluator::call_macro(const MacroDefinition& macro,
                                    const std::shared_ptr<Scope>& closure, Arguments& arguments) {
  if (closure->depth >= kMaxScopeDepth) {
    return invalid_argument("macros that define macros nest deeper than {} levels", kMaxScopeDepth);
  }
  const ScopeGuard guard(*this, std::make_shared<Scope>(closure));
  RETURN_IF_ERROR(bind_parameters(macro, arguments));
  std::string text;
  std::string* const saved = std::exchange(out_, &text);
  const Result<Flow> flow = run(macro.body);
  out_ = saved;
  if (!flow.ok()) return flow.status();
  return Value::string(std::move(text));
}

Status Evaluator::bind_parameters(const MacroDefinition& macro, Arguments& arguments) {
  std::vector<bool> used(arguments.named.size());
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    RETURN_IF_ERROR(step(1 + static_cast<int64_t>(arguments.named.size() / 16)));
    if (i < arguments.positional.size()) {
      scope_->set(parameter.name, arguments.positional[i]);
      continue;
    }
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& entry) { return entry.first == parameter.name; });
    if (named != arguments.named.end()) {
      used[static_cast<size_t>(named - arguments.named.begin())] = true;
      scope_->set(parameter.name, named->second);
    } else if (parameter.default_value != nullptr) {
      ASSIGN_OR_RETURN(Value value, eval(*parameter.default_value));
      scope_->set(parameter.name, std::move(value));
    } else {
      scope_->set(parameter.name, Value::undefined(fmt::format(
                                      "parameter '{}' was not provided", parameter.name)));
    }
  }
  return bind_extras(macro, arguments, used);
}

// What no parameter takes goes to `caller`, `varargs` and `kwargs`, if the body reads these.
Status Evaluator::bind_extras(const MacroDefinition& macro, Arguments& arguments,
                              std::vector<bool>& used) {
  std::vector<std::pair<Value, Value>> kwargs;
  Value caller = Value::undefined("'caller' is undefined: the macro was not called by a call block");
  for (size_t i = 0; i < arguments.named.size(); ++i) {
    if (used[i]) continue;
    auto& [name, value] = arguments.named[i];
    if (macro.uses_caller && name == "caller") {
      caller = std::move(value);
    } else if (macro.uses_kwargs) {
      kwargs.emplace_back(Value::string(name), std::move(value));
    } else {
      return invalid_argument("macro '{}' has no argument named '{}'", macro.name, name);
    }
  }
  const size_t taken = std::min(arguments.positional.size(), macro.parameters.size());
  if (!macro.uses_varargs && arguments.positional.size() > taken) {
    return invalid_argument("macro '{}' takes at most {} arguments, got {}", macro.name, taken,
                            arguments.positional.size());
  }
  const bool own_caller = std::any_of(macro.parameters.begin(), macro.parameters.end(),
                                      [](const Parameter& p) { return p.name == "caller"; });
  if (macro.uses_caller && !own_caller) scope_->set("caller", std::move(caller));
  if (macro.uses_kwargs) scope_->set("kwargs", Value::dict(std::move(kwargs)));
  if (macro.uses_varargs) {
    scope_->set("varargs", Value::tuple({arguments.positional.begin() + static_cast<ptrdiff_t>(taken),
                                         arguments.positional.end()}));
  }
  return {};
}

}  // namespace lmdeploy::jinja
