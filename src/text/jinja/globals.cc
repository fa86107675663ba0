#include "text/jinja/globals.h"

#include <ctime>

#include "text/jinja/evaluator.h"
#include "text/jinja/functions.h"
#include "text/jinja/operators.h"

namespace lmdeploy::jinja {

namespace {

constexpr int64_t kMaxRange = 100000;  // jinja2's sandbox

Result<Value> range(Evaluator& evaluator, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("range", arguments, {"start", "stop", "step"}, 1));
  ASSIGN_OR_RETURN(int64_t start, parameters.integer(0, 0));
  ASSIGN_OR_RETURN(int64_t stop, parameters.integer(1, 0));
  ASSIGN_OR_RETURN(const int64_t step, parameters.integer(2, 1));
  if (!parameters.has(1)) stop = std::exchange(start, 0);
  if (step == 0) return invalid_argument("range() with a step of zero");
  const double span = (static_cast<double>(stop) - static_cast<double>(start)) /
                      static_cast<double>(step);
  if (span > static_cast<double>(kMaxRange)) {
    return invalid_argument("a range has more than {} items", kMaxRange);
  }
  RETURN_IF_ERROR(evaluator.reserve(static_cast<size_t>(std::max(span, 0.0)) * sizeof(Value)));
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  std::string label = step == 1 ? fmt::format("range({}, {})", start, stop)
                                : fmt::format("range({}, {}, {})", start, stop, step);
  return Value::sequence(Kind::kRange, std::move(items), std::move(label));
}

// The entries of dict(mapping_or_pairs, name=value, ...).
Result<std::vector<std::pair<Value, Value>>> dict_entries(Evaluator& evaluator,
                                                          const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.positional.size() > 1) return invalid_argument("dict() takes one mapping at most");
  if (!arguments.positional.empty() && arguments.positional[0].is_dict()) {
    entries = arguments.positional[0].as_dict().entries;
    RETURN_IF_ERROR(evaluator.step(static_cast<int64_t>(entries.size())));
  } else if (!arguments.positional.empty()) {
    ASSIGN_OR_RETURN(const auto pairs, evaluator.iterate(arguments.positional[0]));
    for (const Value& pair : pairs) {
      ASSIGN_OR_RETURN(const auto parts, evaluator.iterate(pair));
      if (parts.size() != 2) return invalid_argument("dict() takes pairs of a key and a value");
      RETURN_IF_ERROR(insert(evaluator, entries, parts[0], parts[1]));
    }
  }
  for (const auto& [name, value] : arguments.named) {
    RETURN_IF_ERROR(insert(evaluator, entries, Value::string(name), value));
  }
  return entries;
}

Result<Value> dict(Evaluator& evaluator, Arguments& arguments) {
  ASSIGN_OR_RETURN(auto entries, dict_entries(evaluator, arguments));
  return Value::dict(std::move(entries));
}

Result<Value> make_namespace(Evaluator& evaluator, Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto entries, dict_entries(evaluator, arguments));
  std::vector<std::pair<std::string, Value>> attributes;
  for (const auto& [key, value] : entries) {
    if (!key.is_string()) return invalid_argument("a namespace takes string keys");
    if (key.as_string().starts_with("_")) {
      return invalid_argument("a namespace cannot hold '{}', which starts with an underscore",
                              key.as_string());
    }
    attributes.emplace_back(key.as_string(), value);
  }
  RETURN_IF_ERROR(evaluator.reserve(sizeof(NamespaceObject) + attributes.size() * 64));
  return evaluator.make_namespace(std::move(attributes));
}

Result<Value> raise_exception(Evaluator& evaluator, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("raise_exception", arguments, {"message"}, 1));
  ASSIGN_OR_RETURN(const std::string message, evaluator.to_string(parameters[0]));
  return evaluator.refuse(message);
}

Result<Value> strftime_now(Evaluator&, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters,
                   Parameters::bind("strftime_now", arguments, {"format"}, 1));
  ASSIGN_OR_RETURN(const std::string format, parameters.string(0, ""));
  if (format.size() > 256) return invalid_argument("strftime_now() with a format over 256 bytes");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[4096];
  return Value::string(std::string(text, std::strftime(text, sizeof(text), format.c_str(), &local)));
}

// joiner(sep)(): empty at the first call, then the separator.
Result<Value> joiner(Evaluator&, Arguments& arguments) {
  ASSIGN_OR_RETURN(const Parameters parameters, Parameters::bind("joiner", arguments, {"sep"}));
  const Value separator = parameters.has(0) ? parameters[0] : Value::string(", ");
  return make_function(
      "joiner",
      [separator, used = false](Evaluator&, Arguments&) mutable -> Result<Value> {
        return std::exchange(used, true) ? separator : Value::string("");
      },
      separator.nesting());
}

// cycler(a, b, ...): next(), reset(), current.
struct CyclerObject : Opaque, std::enable_shared_from_this<CyclerObject> {
  std::string type_name() const override { return "Cycler"; }
  explicit CyclerObject(std::vector<Value> given)
      : items(std::move(given)), held(Value::tuple(items).nesting()) {}
  int nesting() const override { return held; }
  Result<std::optional<Value>> attribute(Evaluator&, std::string_view name) override {
    if (name == "current") return std::optional<Value>(items[position]);
    if (name == "next") {
      return std::optional<Value>(make_function(
          "next", [self = shared_from_this()](Evaluator&, Arguments&) -> Result<Value> {
            const Value item = self->items[self->position];
            self->position = (self->position + 1) % self->items.size();
            return item;
          }, nesting()));
    }
    if (name == "reset") {
      return std::optional<Value>(make_function(
          "reset", [self = shared_from_this()](Evaluator&, Arguments&) -> Result<Value> {
            self->position = 0;
            return Value::none();
          }));
    }
    return std::optional<Value>();
  }
  std::vector<Value> items;
  int held;  // nesting of the items
  size_t position = 0;
};

Result<Value> cycler(Evaluator& evaluator, Arguments& arguments) {
  if (arguments.positional.empty()) return invalid_argument("cycler() needs items");
  RETURN_IF_ERROR(evaluator.allocate(arguments.positional.size() * sizeof(Value)));
  return Value::opaque(std::make_shared<CyclerObject>(arguments.positional));
}

}  // namespace

std::vector<std::pair<std::string, Value>> global_functions() {
  std::vector<std::pair<std::string, Value>> functions;
  const auto add = [&](const char* name, Function function) {
    functions.emplace_back(name, make_function(name, std::move(function)));
  };
  add("range", range);
  add("dict", dict);
  add("namespace", make_namespace);
  add("raise_exception", raise_exception);
  add("strftime_now", strftime_now);
  add("joiner", joiner);
  add("cycler", cycler);
  return functions;
}

}  // namespace lmdeploy::jinja
