#include "tensor/cuda/runtime.h"

#include <dlfcn.h>

#include "base/check.h"

namespace lmdeploy::cuda {

namespace {

Status not_built() {
  return unavailable("this program was built without CUDA; use --device cpu, or build it with "
                     "`make build` on a machine with nvcc");
}

}  // namespace

// The driver is asked even here: a GPU beside a program without CUDA must be an error that says so,
// not a silent fall back.
CudaProbe probe() {
  CudaProbe found;
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
    found.detail = "no NVIDIA driver (libcuda.so.1) on this machine";
    return found;
  }
  found.driver_found = true;
  auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  if (init == nullptr || count == nullptr || init(0) != 0 || count(&found.devices) != 0) {
    found.devices = 0;
    found.detail = "the NVIDIA driver does not answer";
  } else {
    found.detail = fmt::format("{} GPU(s), but this program was built without CUDA", found.devices);
  }
  dlclose(driver);
  return found;
}

Result<void*> allocate(int, size_t) { return not_built(); }
void free(int, void*) { CHECK(false, "CUDA is not built in"); }
void copy(void*, const void*, size_t) { CHECK(false, "CUDA is not built in"); }
Result<std::unique_ptr<Stream>> make_stream(int) { return not_built(); }

}  // namespace lmdeploy::cuda
