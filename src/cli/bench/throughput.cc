// lmdeploy bench throughput: requests a second of a workload through the engine, without HTTP
// (LMDeploy's profile_throughput.py).

#include <algorithm>
#include <cstdio>

#include "cli/bench/bench.h"
#include "cli/bench/engine_load.h"
#include "cli/bench/limit.h"
#include "cli/program.h"

namespace lmdeploy::cli {

namespace {

constexpr int64_t kMostConcurrency = 1'000'000'000;

struct ThroughputOptions {
  std::string model;
  int64_t concurrency = 256;
  std::string csv = "./profile_throughput.csv", output_file;
  WorkloadOptions workload;
  BenchSampling sampling;
  EngineOptions engine;
  LogOptions log;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "concurrency", .help = "requests in flight", .aliases = {"c"}, .value_name = "N"}, self.concurrency);
    visit({.name = "csv", .help = "table to write; an empty path writes none", .value_name = "FILE"}, self.csv);
    visit({.name = "output-file", .help = "also write every figure as one JSON object", .value_name = "FILE"},
          self.output_file);
  }
};

Status bench_throughput(const ThroughputOptions& options) {
  if (options.concurrency < 1 || options.concurrency > kMostConcurrency) {
    return invalid_argument("--concurrency is {}; expected 1 to {}", options.concurrency, kMostConcurrency);
  }
  EngineOptions engine = options.engine;
  // The clients wait for their answers; none of them is to be refused.
  engine.max_queued_requests = static_cast<int>(std::max<int64_t>(engine.max_queued_requests, options.concurrency));
  ASSIGN_OR_RETURN(BenchEngine bench, start_bench_engine(options.model, engine, options.log));
  const EngineInfo& info = bench.engine->info();
  ASSIGN_OR_RETURN(std::vector<BenchRequest> requests,
                   load_workload(options.workload, info.vocab_size, &bench.engine->tokenizer()));
  const size_t all = requests.size();
  std::erase_if(requests, [&](const BenchRequest& request) {
    return static_cast<int64_t>(request.prompt.size()) + request.new_tokens > info.session_len;
  });
  if (requests.size() < all) {
    std::printf("%zu of %zu requests are longer than the session of %lld tokens and are left out\n", all - requests.size(), all,
                static_cast<long long>(info.session_len));
  }
  ProgressBar progress("requests", static_cast<int64_t>(requests.size()));
  const EngineStats before = bench.engine->stats();
  ASSIGN_OR_RETURN(const std::vector<RequestRecord> records,
                   run_on_engine(*bench.engine, requests, options.concurrency, options.sampling, progress));
  BenchSummary summary = summarize(options.concurrency, records);
  set_limit(summary, info, requests, bench.bandwidth);
  set_steps(summary, before, bench.engine->stats());
  print_summary(summary);
  RETURN_IF_ERROR(write_report(options.csv, throughput_csv(summary)));
  return write_report(options.output_file, bench_json("throughput", bench, {summary_json(summary)}));
}

}  // namespace

void add_bench_throughput(Command& bench) {
  Command command = bench.subcommand("throughput", "Requests a second of a workload, in this process.");
  auto options = std::make_shared<ThroughputOptions>();
  command.positional("model", kModelHelp, options->model);
  command.options(*options);
  command.options(options->workload);
  command.options(options->sampling);
  command.options(options->engine);
  command.options(options->log);
  command.run([options] { return finish_bench(bench_throughput(*options)); });
}

}  // namespace lmdeploy::cli
