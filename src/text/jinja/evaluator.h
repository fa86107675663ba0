// Evaluator: renders a parsed template once. Filters, tests and methods get it to reach the bounds
// and the language's own operations. Not thread-safe; one per rendering.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/limits.h"
#include "text/jinja/scope.h"

namespace lmdeploy::jinja {

enum class Flow { kNormal, kBreak, kContinue };

class Evaluator {
 public:
  explicit Evaluator(const Limits& limits);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // Errors are kInvalidArgument and name the line; that of raise_exception() is its own message.
  Result<std::string> render(const Body& body,
                             std::vector<std::pair<std::string, Value>> variables);

  // --- for filters, tests, methods and built-in functions ---
  // Counts `work` units (about an item or 256 bytes each) against the bound on steps.
  Status step(int64_t work = 1);
  // Announces that `bytes` of text are about to be read, character by character.
  Status scan(size_t bytes);
  // Counts an allocation that is about to be made, for good.
  Status allocate(size_t bytes);
  // Announces an allocation of `bytes` before it is made.
  Status reserve(size_t bytes);
  // Whether `bytes` more would be within the bound; counts nothing.
  Status check_memory(size_t bytes) const;

  // object.name and object[key] as the sandbox gives them; what is missing is undefined.
  Result<Value> get_attribute(const Value& object, std::string_view name);
  Result<Value> get_item(const Value& object, const Value& key);
  Result<Value> call(const Value& callee, Arguments& arguments);
  Result<Value> apply_filter(std::string_view name, const Value& input, Arguments& arguments);
  Result<bool> apply_test(std::string_view name, const Value& input, Arguments& arguments);
  // The items that iterating over `value` gives; an iterator is spent by it.
  Result<std::vector<Value>> iterate(const Value& value);
  // Python's str() and repr(), bounded.
  Result<std::string> to_string(const Value& value);

  Value make_namespace(std::vector<std::pair<std::string, Value>> attributes);
  // raise_exception(): `message` is reported without a line.
  Status refuse(std::string_view message);

  // Runs a macro's body with its parameters bound (macro.h).
  Result<Value> call_macro(const MacroDefinition& macro, const std::shared_ptr<Scope>& closure,
                           Arguments& arguments);
  // Renders the body of a recursive loop over other items.
  Result<Value> recurse_loop(const For& loop, const std::shared_ptr<Scope>& outer, const Value& items,
                             int depth0);
  Result<bool> loop_accepts(const For& loop, const std::shared_ptr<Scope>& outer, const Value& item);

 private:
  class ScopeGuard;
  class Capture;

  Result<Flow> run(const Body& body);
  Result<Flow> run(const Statement& statement);
  Result<Flow> exec(const Text& node);
  Result<Flow> exec(const Print& node);
  Result<Flow> exec(const If& node);
  Result<Flow> exec(const For& node);
  Result<Flow> exec(const Set& node);
  Result<Flow> exec(const SetBlock& node);
  Result<Flow> exec(const Macro& node);
  Result<Flow> exec(const CallBlock& node);
  Result<Flow> exec(const FilterBlock& node);
  Result<Flow> exec(const With& node);
  Result<Flow> exec(const Block& node);
  Result<Flow> exec(const Generation& node);
  Result<Flow> exec(const LoopControl& node);
  Result<Flow> run_loop(const For& node, const Value& items, int depth0);
  Result<Value> capture(const Body& body);
  Result<Value> filter_text(const Expr& filter, Value text);
  Status assign(const Target& target, Value value);
  Status assign_tuple(const Target& target, const Value& value);
  Status bind_parameters(const MacroDefinition& macro, Arguments& arguments);
  Status bind_extras(const MacroDefinition& macro, Arguments& arguments,
                     std::vector<bool>& used_names);
  Status emit(std::string_view text);
  Value make_macro(const std::shared_ptr<const MacroDefinition>& definition);

  Result<Value> eval(const Expr& expr);
  Result<Value> eval(const Literal& node);
  Result<Value> eval(const Name& node);
  Result<Value> eval(const Attribute& node);
  Result<Value> eval(const Item& node);
  Result<Value> eval(const Slice& node);
  Result<Value> eval(const Call& node);
  Result<Value> eval(const Filter& node);
  Result<Value> eval(const Test& node);
  Result<Value> eval(const Unary& node);
  Result<Value> eval(const Binary& node);
  Result<Value> eval(const Compare& node);
  Result<Value> eval(const Concat& node);
  Result<Value> eval(const Conditional& node);
  Result<Value> eval(const ListDisplay& node);
  Result<Value> eval(const DictDisplay& node);
  Result<Arguments> eval_arguments(const CallArguments& written);
  Result<Value> eval_or_none(const ExprPtr& expr);
  Result<Value> accept(Result<Value> value);

  Limits limits_;
  std::chrono::steady_clock::time_point deadline_;
  std::shared_ptr<Scope> globals_;
  std::shared_ptr<Scope> root_;
  std::shared_ptr<Scope> scope_;
  std::string* out_ = nullptr;
  Value block_text_;  // what the filter of a filter or set block applies to
  size_t output_bytes_ = 0;
  size_t memory_bytes_ = 0;
  int64_t steps_ = 0;
  int64_t next_clock_check_ = 0;
  int depth_ = 0;
  int error_line_ = 0;    // of the innermost construct that failed
  bool refused_ = false;  // the error is raise_exception()'s
  // What can hold itself; emptied, newest first, when the rendering ends.
  std::vector<std::shared_ptr<NamespaceObject>> namespaces_;
  std::vector<std::shared_ptr<Scope>> captured_scopes_;
};

}  // namespace lmdeploy::jinja
