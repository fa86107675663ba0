// FakeHost: a ModelHost without a model. Token ids are bytes (256 is BOS); every request
// "generates" `script`, a byte a token, on a thread of its own, until the script or max_new_tokens
// ends.
#pragma once

#include <atomic>
#include <cmath>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <thread>

#include "base/utf8.h"
#include "engine/text_pool.h"
#include "serve/model_host.h"

namespace lmdeploy {

class FakeHost : public ModelHost {
 public:
  static constexpr int32_t kBos = 256;

  FakeHost() {
    facts_.session_len = 1000;
    facts_.vocab_size = 257;
    facts_.chat_stops = {"<turn>"};
  }
  ~FakeHost() override {
    for (auto& thread : threads_) thread.join();
  }

  // Set before use.
  std::string script = "Hello, w\xC3\xB6rld!";
  std::chrono::milliseconds token_delay{0};
  int capacity = 1000;  // requests at once before kResourceExhausted
  bool fail = false;    // every request ends with kError
  bool last_choice_first = false;
  ModelFacts facts_;

  std::atomic<int> running{0};
  std::atomic<int> cancels{0};
  GenerateRequest last_request() {
    std::lock_guard lock(mutex_);
    return last_;
  }

  const ModelFacts& facts() const override { return facts_; }
  void post_text_task(std::function<void()> task) override { pool_.post_prompt(std::move(task)); }

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override {
    std::vector<int32_t> ids;
    if (add_special_tokens) ids.push_back(kBos);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  Result<std::vector<int32_t>> encode_prompt(std::string_view text) const override {
    if (text.size() > size_t{10} * static_cast<size_t>(facts_.session_len)) {
      return invalid_argument("the prompt's {} bytes are too many", text.size());
    }
    return encode(text, true);
  }
  Result<std::vector<int32_t>> encode_chat(const ChatInput& input) const override {
    std::string prompt;
    for (const json::value& message : input.messages) {
      const json::object& object = message.as_object();
      if (object.at("role") == json::value("rejected")) {
        return invalid_argument("the chat template refused the conversation: no such role");
      }
      prompt += "<" + std::string(object.at("role").as_string()) + ">";
      const json::value* content = find(object, "content");
      if (content != nullptr && content->is_string()) prompt += std::string(content->get_string());
    }
    if (!input.continue_last) prompt += "<assistant>";
    return encode(prompt, true);
  }
  std::string token_text(int32_t id) const override {
    return id == kBos ? "<bos>" : utf8_replace_invalid(std::string(1, static_cast<char>(id)));
  }
  std::string token_bytes(int32_t id) const override {
    return id == kBos ? "<bos>" : std::string(1, static_cast<char>(id));
  }
  std::string decode(const std::vector<int32_t>& ids) const override {
    std::string text;
    for (const int32_t id : ids)
      text += id == kBos ? "<bos>" : std::string(1, static_cast<char>(id));
    return text;
  }

  Result<std::vector<RequestId>> submit(std::vector<Engine::Submission> call) override {
    if (running + static_cast<int>(call.size()) > capacity) {
      return resource_exhausted("{} requests are waiting already", running.load());
    }
    for (const Engine::Submission& submission : call) {
      const size_t length = submission.request.prompt.size();
      if (static_cast<int64_t>(length) < facts_.session_len) continue;
      return invalid_argument("the prompt has {} tokens; the window holds {}", length,
                              facts_.session_len);
    }
    std::vector<RequestId> ids;
    for (Engine::Submission& submission : call) ids.push_back(begin(std::move(submission)));
    return ids;
  }
  void cancel(RequestId id) override {
    std::lock_guard lock(mutex_);
    const auto found = flags_.find(id);
    if (found == flags_.end()) return;
    *found->second = true;
    cancels += 1;
  }
  EngineStats stats() const override {
    return {.running = running.load(), .blocks_total = 10, .blocks_used = 5};
  }
  void close(std::chrono::milliseconds) override {
    std::lock_guard lock(mutex_);
    for (auto& [id, flag] : flags_) *flag = true;
  }

 private:
  RequestId begin(Engine::Submission submission) {
    std::lock_guard lock(mutex_);
    last_ = submission.request;
    const RequestId id = next_id_++;
    auto flag = std::make_shared<std::atomic<bool>>(false);
    flags_[id] = flag;
    running += 1;
    threads_.emplace_back([this, submission = std::move(submission), flag] {
      const int n = submission.request.sampling.n;
      for (int i = 0; i < n; ++i) {
        generate(submission.request, submission.sink, *flag, last_choice_first ? n - 1 - i : i,
                 i == 0);
      }
      running -= 1;
    });
    return id;
  }

  void generate(const GenerateRequest& request, const OutputSink& sink,
                const std::atomic<bool>& cancelled, int choice, bool first) {
    std::string held;
    GenerateOutput out;
    int64_t generated = 0;
    const int64_t most = request.sampling.max_new_tokens.value_or(facts_.session_len);
    const auto flush = [&](std::optional<FinishReason> finish) {
      out.choice = choice;
      out.finish = finish;
      out.prompt_tokens = static_cast<int64_t>(request.prompt.size());
      out.cached_tokens = 3;
      out.generated_tokens = generated;
      const bool more = sink(std::move(out));
      out = {};
      return more;
    };
    if (first && request.prompt_logprobs) {
      for (const int32_t id : request.prompt) out.prompt_logprobs.push_back(token(id, 1));
      out.prompt_logprobs[0].logprob = std::numeric_limits<float>::quiet_NaN();
    }
    if (fail) {
      out.error = "no finite logits";
      flush(FinishReason::kError);
      return;
    }
    while (generated < most && generated < static_cast<int64_t>(script.size())) {
      std::this_thread::sleep_for(token_delay);
      if (cancelled) {
        flush(FinishReason::kAbort);
        return;
      }
      const char byte = script[static_cast<size_t>(generated++)];
      held += byte;
      out.tokens.push_back(token(static_cast<unsigned char>(byte), request.sampling.logprobs));
      if (!utf8_valid(held)) continue;
      out.text = std::exchange(held, {});
      if (!flush(std::nullopt)) return;
    }
    out.text = utf8_replace_invalid(held);
    flush(generated < most ? FinishReason::kStop : FinishReason::kLength);
  }

  static TokenOutput token(int32_t id, int logprobs) {
    TokenOutput out;
    out.id = id;
    out.logprob = -0.5F;
    for (int i = 0; i < logprobs; ++i) out.top.push_back({id + i, -0.5F - static_cast<float>(i)});
    return out;
  }

  std::mutex mutex_;
  GenerateRequest last_;
  RequestId next_id_ = 1;
  std::map<RequestId, std::shared_ptr<std::atomic<bool>>> flags_;
  std::list<std::thread> threads_;
  TextPool pool_{TextPool::kLeastThreads};
};

}  // namespace lmdeploy
