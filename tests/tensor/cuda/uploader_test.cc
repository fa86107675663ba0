#include "tensor/uploader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/random.h"
#include "tensor/tensor.h"

namespace lmdeploy {
namespace {

constexpr Device kGpu{DeviceType::kCuda, 0};

uint64_t value(uint64_t i) { return hash_random(7, i); }

// Eight threads write more than the ring holds, in pieces of any size.
TEST(CudaUploader, BringsEveryPieceFromManyThreads) {
  constexpr int kThreads = 8;
  constexpr uint64_t kEach = uint64_t{3} << 20;  // values of a thread: 24 MiB
  Result<std::unique_ptr<Uploader>> uploader = make_uploader(kGpu);
  ASSERT_TRUE(uploader.ok()) << uploader.status().message();
  const Tensor target(Shape{static_cast<int64_t>(kThreads * kEach)}, DType::kI64, kGpu);
  const uint64_t most = (*uploader)->buffer_bytes() / sizeof(uint64_t);
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      uint64_t at = thread * kEach;
      const uint64_t end = at + kEach;
      while (at < end) {
        const uint64_t count = std::min(1 + value(at) % most, end - at);
        (*uploader)->write(target.data<uint64_t>() + at, count * sizeof(uint64_t),
                           [&](std::byte* to) {
                             auto* values = reinterpret_cast<uint64_t*>(to);
                             for (uint64_t i = 0; i < count; ++i) values[i] = value(at + i);
                           });
        at += count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE((*uploader)->finish().ok());
  std::vector<uint64_t> got(kThreads * kEach);
  device_copy({}, got.data(), kGpu, target.view().raw(), target.bytes());
  for (uint64_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], value(i)) << i;
}

TEST(CudaUploader, TheCpuHasNone) { EXPECT_FALSE(make_uploader(Device{}).ok()); }

TEST(CudaDevice, FillsAndSaysItsMemory) {
  const Tensor bytes(Shape{1000}, DType::kU8, kGpu);
  device_fill(kGpu, bytes.view().raw(), 0xAB, bytes.bytes());
  std::vector<uint8_t> got(1000);
  device_copy({}, got.data(), kGpu, bytes.view().raw(), got.size());
  EXPECT_EQ(got, std::vector<uint8_t>(1000, 0xAB));
  const Result<DeviceMemory> memory = device_memory(kGpu);
  ASSERT_TRUE(memory.ok());
  EXPECT_GT(memory->free, 0u);
  EXPECT_LT(memory->free, memory->total);
  EXPECT_FALSE(device_memory(Device{}).ok());
}

}  // namespace
}  // namespace lmdeploy
