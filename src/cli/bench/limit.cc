#include "cli/bench/limit.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <thread>

#include "base/clock.h"
#include "base/thread_pool.h"

namespace lmdeploy::cli {

namespace {

constexpr size_t kCpuBytes = size_t{256} << 20;  // beyond any cache that one program gets
constexpr size_t kGpuBytes = size_t{1} << 30;
constexpr int kRepeats = 5;
constexpr double kGiga = 1e9;

// Best of some rounds: bytes moved a second by `round`, which moves `bytes`.
template <class Round>
double best_rate(size_t bytes, const Round& round) {
  double best = 0;
  for (int i = 0; i < kRepeats; ++i) {
    const double start = monotonic_seconds();
    round();
    best = std::max(best, static_cast<double>(bytes) / (monotonic_seconds() - start));
  }
  return best;
}

// 16 numbers at a time, so that adding them is not what is measured.
uint64_t sum_of(const uint64_t* begin, const uint64_t* end) {
  std::array<uint64_t, 16> sums{};
  for (; begin + sums.size() <= end; begin += sums.size()) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += begin[i];
  }
  return std::accumulate(sums.begin(), sums.end(), uint64_t{0});
}

Result<double> cpu_bandwidth(int threads) {
  std::vector<uint64_t> memory(kCpuBytes / sizeof(uint64_t), 1);
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  return best_rate(kCpuBytes, [&] {
    std::vector<std::thread> readers;
    for (size_t t = 0; t < sums.size(); ++t) {
      readers.emplace_back([&, t] {
        const size_t begin = memory.size() * t / sums.size(), end = memory.size() * (t + 1) / sums.size();
        sums[t] = sum_of(memory.data() + begin, memory.data() + end);
      });
    }
    for (std::thread& reader : readers) reader.join();
  });
}

Result<double> gpu_bandwidth(Device device) {
  ASSIGN_OR_RETURN(void* from, device_allocate(device, kGpuBytes));
  Result<void*> to = device_allocate(device, kGpuBytes);
  if (!to.ok()) {
    device_free(device, from, kGpuBytes);
    return to.status();
  }
  constexpr int kCopies = 20;
  const double rate = best_rate(2 * kCopies * kGpuBytes, [&] {
    for (int i = 0; i < kCopies; ++i) device_copy(device, *to, device, from, kGpuBytes);
    char last;
    device_copy(Device{}, &last, device, *to, 1);  // waits for the copies
  });
  device_free(device, from, kGpuBytes);
  device_free(device, *to, kGpuBytes);
  return rate;
}

}  // namespace

Result<double> measure_bandwidth(Device device, int threads) {
  if (!device.is_cpu()) return gpu_bandwidth(device);
  return cpu_bandwidth(threads > 0 ? threads : usable_cores());
}

void set_limit(BenchSummary& summary, const EngineInfo& info, const std::vector<BenchRequest>& requests,
               double bandwidth) {
  double kv_tokens = 0, outputs = 0;
  int64_t longest = 0;
  for (const BenchRequest& request : requests) {
    const auto prompt = static_cast<double>(request.prompt.size()), output = static_cast<double>(request.new_tokens);
    kv_tokens += prompt * output + output * (output - 1) / 2;
    outputs += output;
    longest = std::max(longest, request.new_tokens);
  }
  const double batch = static_cast<double>(std::min<int64_t>(summary.concurrency, info.max_batch_size));
  const double steps = std::max(static_cast<double>(longest), outputs / batch);
  const double weights = static_cast<double>(info.weight_bytes);
  const double kv = kv_tokens * static_cast<double>(info.kv_bytes_per_token);
  summary.limit_seconds = (steps * weights + kv) / bandwidth;
  summary.limit = fmt::format("({:.0f} steps x {:.3f} GB of weights + {:.1f} GB of KV) / {:.0f} GB/s", steps,
                              weights / kGiga, kv / kGiga, bandwidth / kGiga);
}

}  // namespace lmdeploy::cli
