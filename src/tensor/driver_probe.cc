#include "tensor/driver_probe.h"

#include <dlfcn.h>

namespace lmdeploy {

namespace {

// The few functions of the driver API that are asked; 0 is success in all of them.
struct Driver {
  int (*init)(unsigned flags);
  int (*version)(int* version);
  int (*count)(int* devices);
  int (*name)(char* name, int bytes, int device);

  explicit Driver(void* library) {
    load(library, "cuInit", init);
    load(library, "cuDriverGetVersion", version);
    load(library, "cuDeviceGetCount", count);
    load(library, "cuDeviceGetName", name);
  }
  bool complete() const {
    return init != nullptr && version != nullptr && count != nullptr && name != nullptr;
  }

 private:
  template <class Function>
  static void load(void* library, const char* symbol, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, symbol));
  }
};

}  // namespace

DriverProbe probe_nvidia_driver() {
  DriverProbe probe;
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return probe;
  probe.found = true;
  const Driver driver(library);
  char name[256] = "";
  if (driver.complete() && driver.init(0) == 0 && driver.version(&probe.version) == 0 &&
      driver.count(&probe.devices) == 0) {
    if (probe.devices > 0 && driver.name(name, sizeof(name), 0) == 0) probe.first_name = name;
  } else {
    probe.devices = 0;
  }
  // The library stays open: closing a driver that was initialized is not safe.
  return probe;
}

}  // namespace lmdeploy
