// ScratchPool: reusable working memory for methods of an immutable, shared object.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace lmdeploy {

// Thread-safe. T is default-constructed when no used one is at hand; at most kKept are kept.
template <class T>
class ScratchPool {
 public:
  class Lease {
   public:
    explicit Lease(ScratchPool& pool) : pool_(pool), value_(pool.take()) {}
    ~Lease() { pool_.put(std::move(value_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    T& operator*() { return *value_; }
    T* operator->() { return value_.get(); }

   private:
    ScratchPool& pool_;
    std::unique_ptr<T> value_;
  };

 private:
  static constexpr size_t kKept = 32;

  std::unique_ptr<T> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<T> value = std::move(free_.back());
        free_.pop_back();
        return value;
      }
    }
    return std::make_unique<T>();
  }
  void put(std::unique_ptr<T> value) {
    const std::lock_guard lock(mutex_);
    if (free_.size() < kKept) free_.push_back(std::move(value));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> free_;
};

}  // namespace lmdeploy
