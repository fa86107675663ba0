// lmdeploy bench: the benchmarks of LMDeploy's documents.

#include "cli/bench/bench.h"

#include "base/clock.h"
#include "cli/bench/limit.h"
#include "cli/load_progress.h"
#include "engine/device_choice.h"

namespace lmdeploy::cli {

double BenchEngine::memory_gib() const {
  return static_cast<double>(engine->info().memory_bytes) / (size_t{1} << 30);
}

Result<BenchEngine> start_bench_engine(const std::string& model, const EngineOptions& options, const LogOptions& log) {
  ASSIGN_OR_RETURN(const Logger logger, make_logger(log));
  ASSIGN_OR_RETURN(const Device device, choose_device(options.device));
  BenchEngine bench;
  ASSIGN_OR_RETURN(bench.bandwidth, measure_bandwidth(device, options.cpu_threads));
  LoadProgress progress;
  Engine::Hooks hooks;
  hooks.on_load_progress = [&](double done) { progress.show(done); };
  const double start = monotonic_seconds();
  ASSIGN_OR_RETURN(bench.engine, Engine::create(model, options, "", logger, std::move(hooks)));
  bench.start_seconds = monotonic_seconds() - start;
  progress.finish();
  return bench;
}

std::string bench_json(const char* kind, const BenchEngine& bench, json::array results) {
  const EngineInfo& info = bench.engine->info();
  const json::object out{{"benchmark", kind},
                         {"version", kVersion},
                         {"model", info.model_path},
                         {"architecture", info.architecture},
                         {"device", info.device},
                         {"memory_gib", bench.memory_gib()},
                         {"start_seconds", bench.start_seconds},
                         {"bandwidth_gb_per_second", bench.bandwidth / 1e9},
                         {"results", std::move(results)}};
  return to_json_text(out) + "\n";
}

int finish_bench(const Status& status) { return status.ok() ? kExitOk : report_failure(status); }

void add_bench(Command& root) {
  Command bench = root.subcommand("bench", "Measure speed the way LMDeploy's profile scripts do.");
  add_bench_generation(bench);
  add_bench_throughput(bench);
  add_bench_serving(bench);
}

}  // namespace lmdeploy::cli
