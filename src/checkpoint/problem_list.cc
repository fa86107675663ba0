#include "checkpoint/problem_list.h"

#include <algorithm>

namespace lmdeploy {

Status ProblemList::status(StatusCode code, std::string_view what) const {
  if (problems_.empty()) return Status();
  if (problems_.size() == 1) return make_status(code, "{}: {}", what, problems_[0]);
  std::string text = fmt::format("{} has {} problems:", what, problems_.size());
  for (size_t i = 0; i < std::min(problems_.size(), kShown); ++i) text += "\n  " + problems_[i];
  if (problems_.size() > kShown) text += fmt::format("\n  and {} more", problems_.size() - kShown);
  return Status(code, std::move(text));
}

}  // namespace lmdeploy
