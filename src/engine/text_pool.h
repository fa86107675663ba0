// TextPool: the threads that turn text into tokens and tokens into text, so that neither the engine
// thread nor an io thread ever does.
//
// A prompt takes up to seconds (megabytes of text, a template), a piece of an answer microseconds. One
// thread never takes prompts, so that answers go on while prompts are read, and at least two take
// them, so that one long prompt does not hold up the next request: hence three threads on the
// smallest machine. They sleep when there is nothing to do.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace lmdeploy {

// Posting is for any thread. Tasks of a kind start in order of posting; none may wait for another.
class TextPool {
 public:
  static constexpr int kLeastThreads = 3;

  explicit TextPool(int threads);
  ~TextPool();
  // Runs what was posted, then joins. What is posted later never runs.
  void finish();
  // Short work: the next piece of an answer.
  void post_piece(std::function<void()> task);
  // Long work: reading and tokenizing a request.
  void post_prompt(std::function<void()> task);

 private:
  using Tasks = std::deque<std::function<void()>>;
  void post(Tasks& tasks, std::function<void()> task);
  bool may_take_prompt() const;
  void work();

  std::mutex mutex_;
  std::condition_variable ready_;
  Tasks pieces_, prompts_;
  const size_t most_prompts_;    // at once
  size_t prompts_running_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lmdeploy
