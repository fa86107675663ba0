// Runs requests through an Engine and collects what comes back.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace lmdeploy::testing {

struct Answer {
  std::string text;
  std::vector<int32_t> ids;
  std::vector<TokenOutput> tokens;
  FinishReason finish = FinishReason::kError;
  std::string error;
};

// What a request gave, by choice; shared with its sink.
class Collector {
 public:
  explicit Collector(int choices) : answers_(static_cast<size_t>(choices)), unfinished_(choices) {}

  bool take(GenerateOutput&& output) {
    std::lock_guard lock(mutex_);
    Answer& answer = answers_[static_cast<size_t>(output.choice)];
    answer.text += output.text;
    for (TokenOutput& token : output.tokens) {
      answer.ids.push_back(token.id);
      answer.tokens.push_back(std::move(token));
    }
    if (!output.prompt_logprobs.empty()) prompt_logprobs = std::move(output.prompt_logprobs);
    if (!output.last_logits.empty()) last_logits = std::move(output.last_logits);
    cached_tokens = output.cached_tokens;
    if (output.finish) {
      answer.finish = *output.finish;
      answer.error = output.error;
      --unfinished_;
      done_.notify_all();
    } else {
      ++pieces_;
      done_.notify_all();
    }
    return true;
  }
  std::vector<Answer> wait() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return unfinished_ == 0; });
    return answers_;
  }
  // Waits until some text or the end has come.
  void wait_first_piece() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return pieces_ > 0 || unfinished_ == 0; });
  }

  std::vector<TokenOutput> prompt_logprobs;
  std::vector<float> last_logits;
  int64_t cached_tokens = 0;

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  std::vector<Answer> answers_;
  int unfinished_;
  int pieces_ = 0;
};

struct Submitted {
  std::shared_ptr<Collector> collector;
  RequestId id = 0;
};

inline Submitted submit(Engine& engine, GenerateRequest request) {
  auto collector = std::make_shared<Collector>(request.sampling.n);
  Result<RequestId> id = engine.submit(std::move(request), [collector](GenerateOutput&& output) {
    return collector->take(std::move(output));
  });
  CHECK(id.ok(), "{}", id.status().message());
  return {collector, *id};
}

inline std::vector<Answer> generate(Engine& engine, GenerateRequest request) {
  return submit(engine, std::move(request)).collector->wait();
}

}  // namespace lmdeploy::testing
