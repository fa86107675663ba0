// What the subcommands of `lmdeploy bench` share.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "cli/program.h"
#include "engine/engine.h"

namespace lmdeploy::cli {

// An engine to measure, and what its memory can do.
struct BenchEngine {
  std::unique_ptr<Engine> engine;
  double start_seconds = 0;  // Engine::create
  double bandwidth = 0;      // bytes per second
  double memory_gib() const;
};
Result<BenchEngine> start_bench_engine(const std::string& model, const EngineOptions& options, const LogOptions& log);

// The result file: which engine, on what, and one object a run.
std::string bench_json(const char* kind, const BenchEngine& bench, json::array results);

// Prints a failure; the exit status.
int finish_bench(const Status& status);

void add_bench_generation(Command& bench);
void add_bench_throughput(Command& bench);
void add_bench_serving(Command& bench);

}  // namespace lmdeploy::cli
