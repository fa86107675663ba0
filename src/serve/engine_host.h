// EngineHost: the ModelHost over an Engine.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "serve/model_host.h"

namespace lmdeploy {

class ServerMetrics;

class EngineHost final : public ModelHost {
 public:
  // Loads the model. `metrics` gets every request's timing and outlives the host.
  static Result<std::unique_ptr<EngineHost>> create(const std::string& model,
                                                    const EngineOptions& options,
                                                    const std::string& chat_template, Logger logger,
                                                    ServerMetrics& metrics);

  const ModelFacts& facts() const override { return facts_; }
  void post_text_task(std::function<void()> task) override;
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override;
  Result<std::vector<int32_t>> encode_prompt(std::string_view text) const override;
  Result<std::vector<int32_t>> encode_chat(const ChatInput& input) const override;
  std::string token_text(int32_t id) const override;
  std::string token_bytes(int32_t id) const override;
  std::string decode(const std::vector<int32_t>& ids) const override;
  Result<std::vector<RequestId>> submit(std::vector<Engine::Submission> call) override;
  void cancel(RequestId id) override;
  EngineStats stats() const override;
  void close(std::chrono::milliseconds limit) override;

 private:
  explicit EngineHost(std::unique_ptr<Engine> engine);

  std::unique_ptr<Engine> engine_;
  ModelFacts facts_;
};

// The bytes that a vocabulary piece stands for, when it spells some that are no text by themselves:
// "<0xE2>" (byte fallback), or a byte-level piece. Otherwise `text`.
std::string bytes_of_piece(std::string_view piece, const std::string& text);

}  // namespace lmdeploy
