// ModelHost: what the endpoints need of a running model. EngineHost is the real one; tests script
// their own.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/engine.h"

namespace lmdeploy {

// A conversation as a chat template takes it.
struct ChatInput {
  json::array messages;
  json::object variables;      // chat_template_kwargs, enable_thinking, ...
  bool continue_last = false;  // the last message is an assistant's, to be continued
};

// Constant facts.
struct ModelFacts {
  int64_t session_len = 0;
  int64_t vocab_size = 0;
  SamplingDefaults sampling_defaults;
  std::vector<std::string> chat_stops;  // the chat template's stop words that are no single token
};

// Thread-safe.
class ModelHost {
 public:
  virtual ~ModelHost() = default;

  virtual const ModelFacts& facts() const = 0;
  // Tokenizing and template rendering, on text threads alone.
  virtual void post_text_task(std::function<void()> task) = 0;
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const = 0;
  // The same for a prompt, special tokens added; kInvalidArgument for a text so long that it cannot
  // fit the window, before any work on it.
  virtual Result<std::vector<int32_t>> encode_prompt(std::string_view text) const = 0;
  // The prompt that the chat template makes of a conversation. kInvalidArgument: the template
  // refuses it.
  virtual Result<std::vector<int32_t>> encode_chat(const ChatInput& input) const = 0;
  // Text of one token by itself, incomplete UTF-8 as U+FFFD; special tokens spelled out.
  virtual std::string token_text(int32_t id) const = 0;
  // Its exact bytes, where the piece stands for bytes of a character.
  virtual std::string token_bytes(int32_t id) const = 0;
  virtual std::string decode(const std::vector<int32_t>& ids) const = 0;

  // See Engine.
  virtual Result<std::vector<RequestId>> submit(std::vector<Engine::Submission> call) = 0;
  virtual void cancel(RequestId id) = 0;
  virtual EngineStats stats() const = 0;
  virtual void close(std::chrono::milliseconds limit) = 0;
};

}  // namespace lmdeploy
