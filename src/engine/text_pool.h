// TextPool: the threads that turn text into tokens and tokens into text, so that neither the engine
// thread nor an io thread ever does. Tasks start in order of posting.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace lmdeploy {

// post() may be called from any thread. Tasks must not block on each other.
class TextPool {
 public:
  explicit TextPool(int threads);
  ~TextPool();
  // Runs what was posted, then joins. What is posted later never runs.
  void finish();
  void post(std::function<void()> task);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> tasks_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lmdeploy
