// engine_bench: decode, prompt and stream speed of a whole model through the Engine, as a caller sees
// it: tokens are counted where they arrive, prompts are distinct and random, draws are greedy.
//
//   engine_bench MODEL [--threads N] [--only SUBSTRING] [--json]

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "engine/engine.h"

namespace lmdeploy {
namespace {

constexpr int kRepeats = 3;

struct Workload {
  const char* name;
  int streams;
  int prompt;      // tokens of each
  int generate;    // tokens of each
  bool prompt_speed;  // tokens counted: prompt's instead of generated ones
};

constexpr Workload kWorkloads[] = {
    {"decode, batch 1, 128 tokens", 1, 1, 128, false},
    {"prompt of 128", 1, 128, 1, true},
    {"prompt of 512", 1, 512, 1, true},
    {"prompt of 2048", 1, 2048, 1, true},
    {"4 streams, 128 + 128", 4, 128, 128, false},
    {"16 streams, 128 + 128", 16, 128, 128, false},
    {"64 streams, 128 + 128", 64, 128, 128, false},
};

// Waits until a number of choices have finished.
class Countdown {
 public:
  explicit Countdown(int count) : left_(count) {}
  void add_tokens(size_t count) {
    std::lock_guard lock(mutex_);
    tokens_ += count;
  }
  void done() {
    std::lock_guard lock(mutex_);
    if (--left_ == 0) zero_.notify_all();
  }
  size_t wait() {
    std::unique_lock lock(mutex_);
    zero_.wait(lock, [&] { return left_ == 0; });
    return tokens_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable zero_;
  int left_;
  size_t tokens_ = 0;
};

// Tokens per second of one run: generated tokens (or prompt tokens) / wall time including prefill.
double run_once(Engine& engine, const Workload& work, uint64_t seed) {
  auto countdown = std::make_shared<Countdown>(work.streams);
  const double start = monotonic_seconds();
  for (int stream = 0; stream < work.streams; ++stream) {
    GenerateRequest request;
    for (int i = 0; i < work.prompt; ++i) {
      const uint64_t bits = hash_random(seed * 1000 + static_cast<uint64_t>(stream), static_cast<uint64_t>(i));
      request.prompt.push_back(static_cast<int32_t>(bits % static_cast<uint64_t>(engine.info().vocab_size)));
    }
    request.sampling.greedy = true;
    request.sampling.ignore_eos = true;
    request.sampling.max_new_tokens = work.generate;
    const Result<RequestId> id = engine.submit(std::move(request), [countdown](GenerateOutput&& output) {
      countdown->add_tokens(output.tokens.size());
      if (output.finish) countdown->done();
      return true;
    });
    CHECK(id.ok(), "{}", id.status().message());
  }
  const size_t generated = countdown->wait();
  const double seconds = monotonic_seconds() - start;
  const double counted = work.prompt_speed ? double(work.prompt) * work.streams : double(generated);
  return counted / seconds;
}

size_t peak_rss_kib() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

int run(const std::string& model, int threads, const std::string& only, bool json) {
  EngineOptions options;
  options.device = "cpu";
  options.cpu_threads = threads;
  const double start = monotonic_seconds();
  Result<std::unique_ptr<Engine>> engine = Engine::create(model, options, "", Logger(LogLevel::kError));
  if (!engine.ok()) {
    std::fprintf(stderr, "%s\n", engine.status().message().c_str());
    return 1;
  }
  const double load_seconds = monotonic_seconds() - start;
  const size_t rss_after_load = peak_rss_kib();
  std::string rows;
  for (const Workload& work : kWorkloads) {
    if (std::string(work.name).find(only) == std::string::npos) continue;
    if (work.prompt + work.generate > (*engine)->info().session_len) continue;
    run_once(**engine, work, 999);
    std::vector<double> speeds;
    for (int repeat = 0; repeat < kRepeats; ++repeat) speeds.push_back(run_once(**engine, work, static_cast<uint64_t>(repeat)));
    std::sort(speeds.begin(), speeds.end());
    if (json) {
      rows += fmt::format("{}\"{}\": {:.1f}", rows.empty() ? "" : ", ", work.name, speeds[kRepeats / 2]);
    } else {
      std::printf("%-28s %9.1f tokens/s   (%.1f .. %.1f)\n", work.name, speeds[kRepeats / 2], speeds.front(), speeds.back());
      std::fflush(stdout);
    }
  }
  if (json) {
    std::printf("{\"device\": \"%s\", \"load_seconds\": %.3f, \"rss_after_load_kib\": %zu, \"rss_peak_kib\": %zu, %s}\n",
                (*engine)->info().device.c_str(), load_seconds, rss_after_load, peak_rss_kib(), rows.c_str());
  } else {
    std::printf("%s; load %.3f s; peak RSS after load %.1f MiB, at the end %.1f MiB\n", (*engine)->info().device.c_str(),
                load_seconds, static_cast<double>(rss_after_load) / 1024, static_cast<double>(peak_rss_kib()) / 1024);
  }
  return 0;
}

}  // namespace
}  // namespace lmdeploy

namespace {

constexpr const char* kUsage =
    "usage: engine_bench MODEL [--threads N] [--only SUBSTRING] [--json]\n"
    "  MODEL             a directory or a .gguf file\n"
    "  --threads N       1 or more (default: the cores this process may use)\n"
    "  --only SUBSTRING  workloads whose name contains it, as \"prompt of 512\"\n"
    "  --json            one line of JSON instead of the table\n";

int fail(const std::string& message) {
  std::fprintf(stderr, "engine_bench: %s\n%s", message.c_str(), kUsage);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::string model, only;
  int threads = 0;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help") {
      std::fputs(kUsage, stdout);
      return 0;
    }
    if (argument == "--threads") {
      if (++i == argc) return fail("--threads needs a value");
      const std::string value = argv[i];
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), threads);
      if (error != std::errc() || *end != '\0' || threads < 1) {
        return fail("--threads is '" + value + "'; expected 1 or more");
      }
    } else if (argument == "--only") {
      if (++i == argc) return fail("--only needs a value");
      only = argv[i];
    } else if (argument == "--json") {
      json = true;
    } else if (argument.starts_with("-")) {
      return fail("unknown option '" + argument + "'");
    } else if (!model.empty()) {
      return fail("two models: '" + model + "' and '" + argument + "'");
    } else {
      model = argument;
    }
  }
  if (model.empty()) return fail("no MODEL");
  return lmdeploy::run(model, threads, only, json);
}
