// Engine: one model, its scheduler and its threads (src/engine/README.md has the owners).
//
//   ASSIGN_OR_RETURN(auto engine, Engine::create("model.gguf", options, logger));
//   ASSIGN_OR_RETURN(RequestId id, engine->submit(request, sink));
//
// Every method may be called from any thread. Several engines may live in one process, one after
// another or side by side.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "engine/engine_options.h"
#include "engine/model_runner.h"
#include "engine/request.h"
#include "engine/sampling_defaults.h"
#include "engine/stats.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace lmdeploy {

// What start-up found out; constant.
struct EngineInfo {
  std::string model_path;
  std::string model_name;        // the checkpoint's own name
  std::string architecture;
  std::string device;            // "cpu (amx, 2 threads)"
  int64_t session_len = 0;       // longest prompt + answer
  int64_t vocab_size = 0;
  int block_tokens = 0;
  int num_blocks = 0;
  int max_batch_size = 0;
  size_t weight_bytes = 0;       // packed, on the device
  size_t kv_bytes_per_token = 0;
  size_t memory_bytes = 0;       // of the device: weights and KV cache
  std::vector<int32_t> end_ids;  // generation_config, tokenizer and chat template joined
  SamplingDefaults sampling_defaults;
  std::string startup_table;     // memory and seconds by phase, for the log
};

class Engine {
 public:
  struct Hooks {
    // Called on a text thread when a request has ended.
    std::function<void(const RequestTiming&)> on_finished;
    // The device has failed for good; every running request has ended with kError. Without it the
    // process exits with code 70 a second later, when the answers have gone out.
    std::function<void()> on_device_failure;
    // Loading progress in [0, 1], from worker threads.
    std::function<void(double)> on_load_progress;
    // Gets the model's runner at start-up and returns the one that steps go through: a wrapper that
    // measures, delays or breaks them.
    std::function<std::unique_ptr<ModelRunner>(std::unique_ptr<ModelRunner>)> wrap_runner;
  };

  // Loads the model and starts the threads. `chat_template`: a name, a .json or .jinja file, or empty
  // for the model's own. Everything wrong with model, options or memory is one Status.
  static Result<std::unique_ptr<Engine>> create(const std::string& model, const EngineOptions& options,
                                                const std::string& chat_template, Logger logger,
                                                Hooks hooks = {});
  // Aborts what still runs.
  ~Engine();

  const EngineInfo& info() const;
  const Tokenizer& tokenizer() const;
  const ChatTemplate& chat_template() const;

  // Queues a request; `sink` gets its outputs. kInvalidArgument: a bad parameter, or a prompt that
  // does not fit (both numbers in the message); kResourceExhausted: the queue is full, or the session
  // is busy; kUnavailable: closed. After an error the sink is never called.
  Result<RequestId> submit(GenerateRequest request, OutputSink sink);
  // The requests of one call, all or none. Each choice of each takes a place in the queue; a call of
  // more than there are is taken when the queue is empty.
  struct Submission {
    GenerateRequest request;
    OutputSink sink;
  };
  Result<std::vector<RequestId>> submit(std::vector<Submission> call);
  // Ends a request within one step; its sink gets finish kAbort unless it has finished. Idempotent.
  void cancel(RequestId id);
  // Forgets a session's history. kNotFound when there is none.
  Status end_session(int64_t session);
  // Tokens of a session's history, or nullopt.
  std::optional<int64_t> session_tokens(int64_t session) const;

  // Runs `task` on a text thread: tokenizing and template rendering that io threads must not do.
  void post_text_task(std::function<void()> task);
  // The ids of a prompt. A text so long that its ids cannot fit the window is refused unread
  // (kInvalidArgument, both numbers in the message).
  Result<std::vector<int32_t>> encode_prompt(std::string_view text, bool add_special_tokens) const;
  // A conversation through the chat template, then encode_prompt.
  Result<std::vector<int32_t>> encode_chat(ChatRender chat) const;

  EngineStats stats() const;
  // Refuses new requests from now on, aborts the running ones, and returns when each has had its last
  // output (finish kAbort), at most after `limit`. Idempotent.
  void close(std::chrono::milliseconds limit);

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lmdeploy
