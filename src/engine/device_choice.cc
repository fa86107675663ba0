#include "engine/device_choice.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/thread_pool.h"

namespace lmdeploy {

namespace {

int at_most_cores(int threads, const char* name, const Logger& logger) {
  const int cores = usable_cores();
  if (threads <= cores) return threads;
  logger.warning("{} is {}, but {} cores are usable: {} threads compute", name, threads, cores, cores);
  return cores;
}

}  // namespace

Result<Device> choose_device(const std::string& name) {
  if (name == "cpu") return Device{DeviceType::kCpu, 0};
  if (name != "auto" && name != "cuda") {
    return invalid_argument("--device is '{}'; expected auto, cpu or cuda", name);
  }
  const CudaProbe probe = probe_cuda();
  const bool gpu = probe.driver_found && probe.devices > 0;
  if (name == "auto" && !gpu) return Device{DeviceType::kCpu, 0};
  if (!gpu) return unavailable("--device cuda: {}; use --device cpu", probe.detail);
  if (!probe.built_in) {
    return unavailable("this machine has a GPU, but this program was built without CUDA; use --device cpu, or "
                       "run `make build` where nvcc is installed");
  }
  return Device{DeviceType::kCuda, 0};
}

Result<int> cpu_thread_count(int wanted, const Logger& logger) {
  constexpr int kMost = 1024;
  if (wanted > kMost) return invalid_argument("--cpu-threads is {}; at most {}", wanted, kMost);
  if (wanted > 0) return at_most_cores(wanted, "--cpu-threads", logger);
  const char* variable = std::getenv("LMDEPLOY_CPU_THREADS");
  if (variable == nullptr || *variable == '\0') return usable_cores();
  const std::string_view text(variable);
  int threads = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size() || threads < 1 || threads > kMost) {
    return invalid_argument("LMDEPLOY_CPU_THREADS is '{}'; expected a number from 1 to {}", text, kMost);
  }
  return at_most_cores(threads, "LMDEPLOY_CPU_THREADS", logger);
}

}  // namespace lmdeploy
