#include "comm/cpu/thread_group.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace lmdeploy {

class ThreadGroup::Rank final : public Communicator {
 public:
  Rank(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_.size_; }

  void all_reduce(Stream&, const TensorView& data) override {
    bring(data);
    const int64_t rows = data.dim(0), columns = data.dim(1);
    const int64_t begin = columns * rank_ / size(), end = columns * (rank_ + 1) / size();
    for (int64_t row = 0; row < rows; ++row) add_up(row, begin, end);
    group_.barrier();
  }

  void all_gather_columns(Stream&, const TensorView& data, int64_t begin, int64_t end) override {
    bring(data);
    const size_t bytes = static_cast<size_t>(end - begin) * sizeof(float);
    for (const TensorView& other : group_.views_) {
      if (other.raw() == data.raw() || bytes == 0) continue;
      for (int64_t row = 0; row < data.dim(0); ++row) {
        std::memcpy(other.row<float>(row) + begin, data.row<float>(row) + begin, bytes);
      }
    }
    group_.barrier();
  }

 private:
  // Shows this rank's view to the others and waits for theirs.
  void bring(const TensorView& data) {
    CHECK(data.dtype() == DType::kF32 && data.shape().rank() == 2,
          "ranks exchange f32 matrices on the CPU");
    group_.views_[static_cast<size_t>(rank_)] = data;
    group_.barrier();
    CHECK(group_.views_.front().shape() == data.shape(), "ranks bring different shapes");
  }

  // Columns [begin, end) of a row: this rank's part of the sum, written to all ranks.
  void add_up(int64_t row, int64_t begin, int64_t end) {
    const std::vector<TensorView>& views = group_.views_;
    float* sum = views.front().row<float>(row);
    for (size_t other = 1; other < views.size(); ++other) {
      const float* values = views[other].row<float>(row);
      for (int64_t i = begin; i < end; ++i) sum[i] += values[i];
    }
    for (size_t other = 1; other < views.size(); ++other) {
      std::copy(sum + begin, sum + end, views[other].row<float>(row) + begin);
    }
  }

  ThreadGroup& group_;
  int rank_;
};

ThreadGroup::ThreadGroup(int size) : size_(size), views_(static_cast<size_t>(size)) {
  CHECK(size >= 1, "a group of {} ranks", size);
  for (int rank = 0; rank < size; ++rank) ranks_.push_back(std::make_unique<Rank>(*this, rank));
}

void ThreadGroup::barrier() {
  const uint32_t round = round_.load();
  if (arrived_.fetch_add(1) + 1 == size_) {
    arrived_.store(0);
    round_.store(round + 1);
    round_.notify_all();
    return;
  }
  round_.wait(round);
}

}  // namespace lmdeploy
