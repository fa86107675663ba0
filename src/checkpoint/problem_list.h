// ProblemList: everything that is wrong with a file, collected so that one error names it all.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

// Not thread-safe. Remembers every problem; status() shows the first kShown.
class ProblemList {
 public:
  static constexpr size_t kShown = 40;

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  bool empty() const { return problems_.empty(); }
  size_t size() const { return problems_.size(); }

  // OK when nothing was added; else "<what>: <problem>" or "<what> has N problems:" and a line
  // each.
  Status status(StatusCode code, std::string_view what) const;

 private:
  std::vector<std::string> problems_;
};

}  // namespace lmdeploy
