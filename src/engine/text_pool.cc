#include "engine/text_pool.h"

#include "base/check.h"

namespace lmdeploy {

TextPool::TextPool(int threads) : most_prompts_(static_cast<size_t>(threads) - 1) {
  CHECK(threads >= kLeastThreads, "{} text threads", threads);
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

void TextPool::post(Tasks& tasks, std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks.push_back(std::move(task));
  }
  ready_.notify_one();
}

void TextPool::post_piece(std::function<void()> task) { post(pieces_, std::move(task)); }
void TextPool::post_prompt(std::function<void()> task) { post(prompts_, std::move(task)); }

bool TextPool::may_take_prompt() const {
  return !prompts_.empty() && prompts_running_ < most_prompts_;
}

void TextPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ready_.wait(lock, [&] { return stop_ || !pieces_.empty() || may_take_prompt(); });
    const bool prompt = pieces_.empty();
    // Stopping: prompts that this thread may not take are left to the threads at work on others.
    if (prompt && !may_take_prompt()) return;
    Tasks& tasks = prompt ? prompts_ : pieces_;
    std::function<void()> task = std::move(tasks.front());
    tasks.pop_front();
    if (prompt) ++prompts_running_;
    lock.unlock();
    task();
    task = nullptr;  // what it holds goes before the next wait
    lock.lock();
    if (!prompt) continue;
    --prompts_running_;
    if (may_take_prompt()) ready_.notify_one();  // this thread may turn to a piece now
  }
}

}  // namespace lmdeploy
