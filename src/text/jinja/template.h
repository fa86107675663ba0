// Template: a parsed Jinja template. Immutable; render() may run in many threads at once.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace lmdeploy::jinja {

struct SyntaxTree;

class Template {
 public:
  // Errors are kInvalidArgument and name the line.
  static Result<Template> parse(std::string_view source, Limits limits = {});

  // The text for these variables. Errors, all kInvalidArgument: what the template does wrong, with
  // its line; its own raise_exception(); the bound that it exceeds.
  Result<std::string> render(std::vector<std::pair<std::string, Value>> variables) const;

 private:
  Template(std::shared_ptr<const SyntaxTree> tree, Limits limits)
      : tree_(std::move(tree)), limits_(limits) {}

  std::shared_ptr<const SyntaxTree> tree_;
  Limits limits_;
};

}  // namespace lmdeploy::jinja
