#include "engine/text_pool.h"

#include "base/check.h"

namespace lmdeploy {

TextPool::TextPool(int threads) {
  CHECK(threads > 0, "{} text threads", threads);
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

TextPool::~TextPool() { finish(); }

void TextPool::finish() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  ready_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void TextPool::post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  ready_.notify_one();
}

void TextPool::work() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      ready_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace lmdeploy
