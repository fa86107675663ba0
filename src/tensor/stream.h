// Stream: what ops of one rank are issued to, in order. A CpuStream runs them at once on its thread
// pool; a CUDA stream (tensor/cuda/) queues them.
#pragma once

#include <cstring>
#include <memory>

#include "base/thread_pool.h"
#include "tensor/cpu/isa.h"
#include "tensor/device.h"

namespace lmdeploy {

class Stream {
 public:
  virtual ~Stream() = default;
  virtual Device device() const = 0;
  // Returns when everything issued so far is done.
  virtual void synchronize() = 0;
  // Copies after what was issued before. Each side is memory of this device or of the host; with CUDA
  // a host side must be pinned (tensor/cuda/pinned.h), or the call waits for the copy.
  virtual void copy(void* destination, const void* source, size_t bytes) = 0;
};

class CpuStream final : public Stream {
 public:
  CpuStream(int threads, CpuIsa isa, PoolCores cores = {}) : pool_(threads, cores), isa_(isa) {}
  Device device() const override { return {DeviceType::kCpu, 0}; }
  void synchronize() override {}
  void copy(void* destination, const void* source, size_t bytes) override {
    std::memcpy(destination, source, bytes);
  }
  ThreadPool& pool() { return pool_; }
  const CpuIsa& isa() const { return isa_; }

 private:
  ThreadPool pool_;
  CpuIsa isa_;
};

// The stream of a device. kUnavailable when the device cannot start (CUDA not built, no driver);
// the message names `--device cpu`. `cpu_threads` (0 = usable_cores()) and `cpu_cores` are of a CPU's
// pool.
Result<std::unique_ptr<Stream>> make_stream(Device device, int cpu_threads, CpuIsa isa,
                                            PoolCores cpu_cores = {});

}  // namespace lmdeploy
