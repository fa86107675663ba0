// Scope: the variables of one block, loop iteration or macro call, on top of those around it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace lmdeploy::jinja {

struct Scope {
  explicit Scope(std::shared_ptr<Scope> outer)
      : parent(std::move(outer)), depth(parent == nullptr ? 0 : parent->depth + 1) {}

  // The value of the innermost variable of that name, or nullptr.
  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
      for (const auto& [key, value] : scope->variables) {
        if (key == name) return &value;
      }
    }
    return nullptr;
  }

  // Sets the variable in this scope; one of the same name further out is hidden.
  void set(std::string_view name, Value value) {
    for (auto& [key, held] : variables) {
      if (key == name) {
        held = std::move(value);
        return;
      }
    }
    variables.emplace_back(std::string(name), std::move(value));
  }

  std::shared_ptr<Scope> parent;
  int depth;
  std::vector<std::pair<std::string, Value>> variables;
};

}  // namespace lmdeploy::jinja
