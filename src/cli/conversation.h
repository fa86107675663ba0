// Conversation: a chat with an engine, kept as messages and rendered anew each turn; the prefix
// cache finds what was computed before.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "engine/engine.h"

namespace lmdeploy::cli {

class Conversation {
 public:
  // `system`: the system prompt; empty leaves it to the template. `plain`: each text is
  // a prompt by itself and nothing is remembered (--cap completion).
  Conversation(Engine& engine, SamplingParams sampling, std::string system, bool plain);

  struct Reply {
    std::string text;
    FinishReason finish = FinishReason::kStop;
    std::string error;
    int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
    double seconds = 0;
  };
  // Asks and waits. `on_text` gets the answer as it comes, on this thread. `interrupted` is polled;
  // when it says true the answer is cancelled and what came so far is the reply. A failed or
  // refused turn is not remembered.
  Result<Reply> ask(std::string_view text, const std::function<void(std::string_view)>& on_text,
                    const std::function<bool()>& interrupted);

  // Forgets everything that was said.
  void reset();

 private:
  Result<std::vector<int32_t>> prompt_for(std::string_view text);

  Engine& engine_;
  SamplingParams sampling_;
  std::string system_;
  bool plain_;
  json::array messages_;
};

}  // namespace lmdeploy::cli
