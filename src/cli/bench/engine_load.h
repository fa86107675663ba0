// Runs a workload on an engine of this process, a number of requests at a time.
#pragma once

#include <vector>

#include "cli/bench/progress_bar.h"
#include "cli/bench/report.h"
#include "cli/bench/workload.h"
#include "engine/engine.h"

namespace lmdeploy::cli {

// How answers are drawn; end ids never stop them.
struct BenchSampling {
  int64_t top_k = 1;
  double top_p = 1.0, temperature = 1.0;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    constexpr const char* kGroup = "Sampling";
    visit({.name = "top-k", .help = "draw from so many most likely tokens; 1 is greedy, 0 is all", .value_name = "K",
           .group = kGroup}, self.top_k);
    visit({.name = "top-p", .help = "draw from the most likely tokens that sum up to this", .value_name = "P",
           .group = kGroup}, self.top_p);
    visit({.name = "temperature", .help = "0 is greedy", .value_name = "T", .group = kGroup}, self.temperature);
  }
};

// Sends the requests in order, `concurrency` at a time; tokens are counted where the sink gets them.
// A request that the engine refuses ends the run with its Status.
Result<std::vector<RequestRecord>> run_on_engine(Engine& engine, const std::vector<BenchRequest>& requests,
                                                 int64_t concurrency, const BenchSampling& sampling,
                                                 ProgressBar& progress);

}  // namespace lmdeploy::cli
