#include "tensor/cuda/runtime.h"

#include "base/check.h"
#include "tensor/driver_probe.h"

namespace lmdeploy::cuda {

namespace {

Status not_built() {
  return unavailable(
      "this program was built without CUDA; use --device cpu, or build it with "
      "`make build` on a machine with nvcc");
}

}  // namespace

// The driver is asked even here: a GPU beside a program without CUDA must be an error that says so,
// not a silent fall back.
CudaProbe probe() {
  const DriverProbe driver = probe_nvidia_driver();
  CudaProbe found{.driver_found = driver.found, .devices = driver.devices};
  if (!driver.found) {
    found.detail = "no NVIDIA driver (libcuda.so.1) on this machine";
  } else if (driver.devices == 0) {
    found.detail = "the NVIDIA driver does not answer or reports no GPU";
  } else {
    found.detail = fmt::format("{} GPU(s), first {}, but this program was built without CUDA",
                               driver.devices, driver.first_name);
  }
  return found;
}

Result<void*> allocate(int, size_t) { return not_built(); }
void free(int, void*) { CHECK(false, "CUDA is not built in"); }
void copy(void*, const void*, size_t) { CHECK(false, "CUDA is not built in"); }
void fill(int, void*, uint8_t, size_t) { CHECK(false, "CUDA is not built in"); }
Result<DeviceMemory> memory(int) { return not_built(); }
Result<std::unique_ptr<Stream>> make_stream(int) { return not_built(); }
Result<std::unique_ptr<Uploader>> make_uploader(int) { return not_built(); }

}  // namespace lmdeploy::cuda
