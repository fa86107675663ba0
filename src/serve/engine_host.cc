#include "serve/engine_host.h"

#include "serve/admin/server_metrics.h"
#include "text/byte_level.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string bytes_of_piece(std::string_view piece, const std::string& text) {
  if (text.find(kReplacement) == std::string::npos) return text;
  if (const std::optional<uint8_t> byte = byte_of_piece(piece)) {
    return std::string(1, static_cast<char>(*byte));
  }
  return byte_level_bytes(piece).value_or(text);
}

Result<std::unique_ptr<EngineHost>> EngineHost::create(const std::string& model,
                                                       const EngineOptions& options,
                                                       const std::string& chat_template,
                                                       Logger logger, ServerMetrics& metrics) {
  Engine::Hooks hooks;
  hooks.on_finished = [&metrics](const RequestTiming& timing) { metrics.observe(timing); };
  ASSIGN_OR_RETURN(auto engine, Engine::create(model, options, chat_template, std::move(logger),
                                               std::move(hooks)));
  return std::unique_ptr<EngineHost>(new EngineHost(std::move(engine)));
}

EngineHost::EngineHost(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {
  const EngineInfo& info = engine_->info();
  facts_ = {info.session_len, info.vocab_size, info.sampling_defaults, {}};
  for (const std::string& word : engine_->chat_template().stop_words()) {
    if (!engine_->tokenizer().id_of(word)) facts_.chat_stops.push_back(word);
  }
}

void EngineHost::post_text_task(std::function<void()> task) {
  engine_->post_text_task(std::move(task));
}

std::vector<int32_t> EngineHost::encode(std::string_view text, bool add_special_tokens) const {
  return engine_->tokenizer().encode(text, {.add_special_tokens = add_special_tokens});
}

Result<std::vector<int32_t>> EngineHost::encode_prompt(std::string_view text) const {
  return engine_->encode_prompt(text, true);
}

Result<std::vector<int32_t>> EngineHost::encode_chat(const ChatInput& input) const {
  ChatRender render;
  render.messages = input.messages;
  render.continue_final_message = input.continue_last;
  render.variables = input.variables;
  return engine_->encode_chat(std::move(render));
}

std::string EngineHost::token_text(int32_t id) const {
  const int32_t ids[] = {id};
  return engine_->tokenizer().decode(ids, {.skip_special_tokens = false, .continues = true});
}

std::string EngineHost::token_bytes(int32_t id) const {
  return bytes_of_piece(engine_->tokenizer().piece(id), token_text(id));
}

std::string EngineHost::decode(const std::vector<int32_t>& ids) const {
  return engine_->tokenizer().decode(ids, {.skip_special_tokens = false});
}

Result<std::vector<RequestId>> EngineHost::submit(std::vector<Engine::Submission> call) {
  return engine_->submit(std::move(call));
}

void EngineHost::cancel(RequestId id) { engine_->cancel(id); }

EngineStats EngineHost::stats() const { return engine_->stats(); }

void EngineHost::close(std::chrono::milliseconds limit) { engine_->close(limit); }

}  // namespace lmdeploy
