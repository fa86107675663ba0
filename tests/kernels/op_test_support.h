// What the op tests share: one stream per instruction set of this machine, and random numbers.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/ctx.h"

namespace lmdeploy::test {

// A CPU stream of one instruction set with its arena.
struct CpuRun {
  CpuRun(int threads, const std::string& isa)
      : stream(threads, CpuIsa::named(isa).value()), arena(Device{}), ctx{stream, arena} {}
  CpuStream stream;
  Arena arena;
  Ctx ctx;
};

// The instruction sets that the ops of this folder tell apart and this machine has.
inline std::vector<std::string> op_isas() {
  std::vector<std::string> found;
  for (const char* name : {"scalar", "avx2", "avx512", "amx"}) {
    if (CpuIsa::named(name).ok()) {
      found.emplace_back(name);
    } else {
      std::printf("[ SKIPPED  ] %s: not on this processor\n", name);
    }
  }
  return found;
}

inline void fill_normal(float* data, int64_t count, uint64_t key, double stddev = 1) {
  for (int64_t i = 0; i < count; ++i) {
    data[i] = static_cast<float>(stddev * hash_normal(key, static_cast<uint64_t>(i)));
  }
}

inline Tensor normal_tensor(Shape shape, uint64_t key, double stddev = 1) {
  Tensor tensor(shape, DType::kF32);
  fill_normal(tensor.data<float>(), shape.numel(), key, stddev);
  return tensor;
}

}  // namespace lmdeploy::test
