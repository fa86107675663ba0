// StopMatcher: finds stop strings in streamed text, across any token borders.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lmdeploy {

// Text that could still become part of a stop string is held back; what can no longer is released
// at once. Earliest end wins; on a tie the longest. Not thread-safe; one per choice.
class StopMatcher {
 public:
  // Empty stop strings are ignored. `include_stop`: the matched string stays in the output.
  StopMatcher(std::vector<std::string> stops, bool include_stop);

  struct Output {
    std::string text;                 // safe to send
    std::optional<size_t> stop_index;  // which stop string matched; nothing may be pushed after
  };
  Output push(std::string_view text);
  // The held-back text, when generation ended for another reason.
  std::string flush();

 private:
  std::vector<std::string> stops_;
  bool include_stop_;
  std::string held_;
};

}  // namespace lmdeploy
