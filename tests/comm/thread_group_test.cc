#include "comm/cpu/thread_group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "tensor/stream.h"

namespace lmdeploy {
namespace {

// work(rank's Communicator, its stream) on a thread per rank.
template <class Work>
void on_ranks(int size, Work work) {
  ThreadGroup group(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      CpuStream stream(1, CpuIsa{});
      work(group.rank(rank), stream);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A rank's value at an element in a round, whose sum depends on the order of the additions.
float value(int rank, int round, int64_t row, int64_t column) {
  const auto mixed = static_cast<float>((rank * 7919 + round * 104729 + row * 31 + column * 17) % 1000);
  return (mixed - 500) * (rank % 2 == 0 ? 1e6f : 1e-3f);
}

TEST(ThreadGroup, AllReduceAddsInTheOrderOfTheRanks) {
  constexpr int64_t kRows = 3, kColumns = 37;
  for (int size : {1, 2, 3, 4, 8}) {
    std::atomic<int> wrong{0};
    on_ranks(size, [&](Communicator& ranks, Stream& stream) {
      for (int round = 0; round < 50; ++round) {
        Tensor data(Shape{kRows, kColumns + 5}, DType::kF32);
        const TensorView view = data.view().columns(0, kColumns);
        for (int64_t r = 0; r < kRows; ++r) {
          for (int64_t c = 0; c < kColumns; ++c) {
            view.row<float>(r)[c] = value(ranks.rank(), round, r, c);
          }
        }
        ranks.all_reduce(stream, view);
        for (int64_t r = 0; r < kRows; ++r) {
          for (int64_t c = 0; c < kColumns; ++c) {
            float expected = value(0, round, r, c);
            for (int other = 1; other < size; ++other) expected += value(other, round, r, c);
            if (view.row<float>(r)[c] != expected) ++wrong;
          }
        }
      }
    });
    EXPECT_EQ(wrong, 0) << size << " ranks";
  }
}

TEST(ThreadGroup, AllGatherFillsUnevenColumns) {
  constexpr int64_t kRows = 2, kColumns = 11;
  for (int size : {1, 2, 4}) {
    std::atomic<int> wrong{0};
    on_ranks(size, [&](Communicator& ranks, Stream& stream) {
      const int64_t share = (kColumns + size - 1) / size;
      const int64_t begin = std::min(kColumns, share * ranks.rank());
      const int64_t end = std::min(kColumns, begin + share);
      Tensor data(Shape{kRows, kColumns}, DType::kF32);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t c = begin; c < end; ++c) {
          data.view().row<float>(r)[c] = static_cast<float>(r * 100 + c);
        }
      }
      ranks.all_gather_columns(stream, data.view(), begin, end);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t c = 0; c < kColumns; ++c) {
          if (data.view().row<float>(r)[c] != static_cast<float>(r * 100 + c)) ++wrong;
        }
      }
    });
    EXPECT_EQ(wrong, 0) << size << " ranks";
  }
}

}  // namespace
}  // namespace lmdeploy
