// CudaStream: a stream of one GPU, and how CUDA errors are told. Only for code under a cuda/
// folder.
#pragma once

#include <cuda_runtime.h>

#include <map>
#include <memory>
#include <string>
#include <typeindex>

#include "base/check.h"
#include "base/status.h"
#include "tensor/stream.h"

namespace lmdeploy::cuda {

// Makes `device` the calling thread's current one and gives the former back at the end.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) : device_(device) {
    cudaGetDevice(&former_);
    if (former_ != device) cudaSetDevice(device);
  }
  ~DeviceGuard() {
    if (former_ != device_) cudaSetDevice(former_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int device_;
  int former_ = 0;
};

// What kernels choose their path and their grid by.
struct CudaProperties {
  int compute_capability = 0;  // 90 is 9.0
  int multiprocessors = 0;
  size_t shared_bytes = 0;     // that one block may ask for
  size_t l2_bytes = 0;
  std::string name;
};

// Used by one thread at a time.
class CudaStream final : public Stream {
 public:
  struct Options {
    bool portable = false;  // LMDEPLOY_CUDA_PATH=portable: no kernel of one architecture alone
    bool debug = false;     // TM_DEBUG_LEVEL=DEBUG: launched() waits for the kernel and checks
  };
  // As the environment says. kInvalidArgument for a value of LMDEPLOY_CUDA_PATH that is none.
  static Result<Options> options_from_environment();

  static constexpr int kTickets = 1024;
  // Takes over `stream` and `tickets` (device memory, kTickets zeros).
  CudaStream(int device, cudaStream_t stream, unsigned* tickets, CudaProperties properties,
             Options options)
      : device_(device),
        stream_(stream),
        tickets_(tickets),
        properties_(std::move(properties)),
        options_(options) {}
  ~CudaStream() override;
  Device device() const override { return {DeviceType::kCuda, device_}; }
  void synchronize() override;
  void copy(void* destination, const void* source, size_t bytes) override;
  cudaStream_t handle() const { return stream_; }
  // Counters by which the thread blocks of a kernel find out which of them is last, on the device.
  // Every kernel finds zeros there and leaves zeros.
  unsigned* tickets() const { return tickets_; }

  const CudaProperties& properties() const { return properties_; }
  bool portable() const { return options_.portable; }
  bool debug() const { return options_.debug; }
  // Hopper's own kernels (wgmma, bulk copies) may run.
  bool hopper() const { return properties_.compute_capability == 90 && !options_.portable; }

  // What an op says after its launches: the first failure is kept for status(). A failure of the
  // device shows at some later launch; with debug() at its own.
  void launched(const char* op, cudaError_t error);
  // kInternal since the first failure: the op at which it showed, and what CUDA says. The device's
  // context is gone then: nothing on it works any more.
  const Status& status() const { return status_; }

  // What a higher layer keeps for this stream, such as a library's handle: made at the first use, with
  // the stream's device current, and destroyed with the stream.
  template <class T>
  T& state() {
    std::shared_ptr<void>& slot = states_[typeid(T)];
    if (slot == nullptr) slot = std::make_shared<T>();
    return *static_cast<T*>(slot.get());
  }

 private:
  int device_;
  cudaStream_t stream_;
  unsigned* tickets_;
  CudaProperties properties_;
  Options options_;
  Status status_;
  std::map<std::type_index, std::shared_ptr<void>> states_;
};

inline void check_call(cudaError_t error, const char* call) {
  CHECK(error == cudaSuccess, "{}: {}", call, cudaGetErrorString(error));
}

}  // namespace lmdeploy::cuda

// CHECK that a CUDA call of our own did not fail.
#define CUDA_CHECK(call) ::lmdeploy::cuda::check_call((call), #call)
