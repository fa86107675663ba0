// The syntax tree of a template. Immutable after parsing, shared by concurrent renderings.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/value.h"

namespace lmdeploy::jinja {

struct Expr;
struct Statement;
using ExprPtr = std::unique_ptr<Expr>;
using Body = std::vector<std::unique_ptr<Statement>>;

// Arguments as written: f(positional..., name=value..., *star, **star_star).
struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;
  ExprPtr star_star;
};

enum class UnaryOp { kNot, kNegate, kPlus };
enum class BinaryOp { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow, kAnd, kOr };
enum class CompareOp { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };

struct Literal { Value value; };
struct Name { std::string name; };
struct Attribute { ExprPtr object; std::string name; };   // object.name
struct Item { ExprPtr object; ExprPtr key; };             // object[key]
struct Slice { ExprPtr object, start, stop, step; };      // object[start:stop:step], parts may be null
struct Call { ExprPtr callee; CallArguments arguments; };
struct Filter { ExprPtr input; std::string name; CallArguments arguments; };  // input null: a block's text
struct Test { ExprPtr input; std::string name; CallArguments arguments; };
struct Unary { UnaryOp op; ExprPtr operand; };
struct Binary { BinaryOp op; ExprPtr left, right; };
struct Compare { ExprPtr first; std::vector<std::pair<CompareOp, ExprPtr>> rest; };
struct Concat { std::vector<ExprPtr> parts; };             // a ~ b ~ c
struct Conditional { ExprPtr condition, yes, no; };        // yes if condition else no; no may be null
struct ListDisplay { std::vector<ExprPtr> items; bool is_tuple; };
struct DictDisplay { std::vector<std::pair<ExprPtr, ExprPtr>> entries; };

struct Expr {
  int line = 0;
  int depth = 1;  // levels of expressions below, this one included
  std::variant<Literal, Name, Attribute, Item, Slice, Call, Filter, Test, Unary, Binary, Compare,
               Concat, Conditional, ListDisplay, DictDisplay> node;
};

// What `set` and `for` assign to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  enum class Kind { kName, kNamespaceAttribute, kTuple } kind = Kind::kName;
  std::string name;
  std::string attribute;
  std::vector<Target> parts;
};

struct Parameter { std::string name; ExprPtr default_value; };

struct MacroDefinition {
  std::string name;  // empty for the body of a call block
  std::vector<Parameter> parameters;
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};

struct Text { std::string text; };
struct Print { std::vector<ExprPtr> values; };
struct If { std::vector<std::pair<ExprPtr, Body>> branches; Body otherwise; };
struct For {
  Target target;
  ExprPtr iterable, condition;  // condition may be null
  bool recursive = false;
  Body body, otherwise;
};
struct Set { Target target; ExprPtr value; };
struct SetBlock { Target target; ExprPtr filter; Body body; };  // filter may be null
struct Macro { std::shared_ptr<const MacroDefinition> definition; };
struct CallBlock { ExprPtr call; std::shared_ptr<const MacroDefinition> caller; };
struct FilterBlock { ExprPtr filter; Body body; };
struct With { std::vector<std::pair<Target, ExprPtr>> assignments; Body body; };
struct Block { std::string name; bool scoped = false; Body body; };
struct Generation { Body body; };  // marks what the assistant wrote
struct LoopControl { bool is_break = false; };

struct Statement {
  int line = 0;
  std::variant<Text, Print, If, For, Set, SetBlock, Macro, CallBlock, FilterBlock, With, Block,
               Generation, LoopControl> node;
};

}  // namespace lmdeploy::jinja
