// The physical limit of a workload: the seconds that reading weights and KV cache costs at the memory's
// bandwidth, computing and everything else for nothing.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cli/bench/report.h"
#include "cli/bench/workload.h"
#include "engine/engine.h"
#include "tensor/device.h"

namespace lmdeploy::cli {

// Bytes per second that the device's memory reads, measured for a fraction of a second. On the CPU with
// `threads` threads; on a GPU from copies inside its memory (read + written).
Result<double> measure_bandwidth(Device device, int threads);

// Sets the limit of a summary. Every decode step reads the weights once for at most `concurrency`
// requests, and each of a request's steps reads its own KV so far.
void set_limit(BenchSummary& summary, const EngineInfo& info, const std::vector<BenchRequest>& requests,
               double bandwidth);

}  // namespace lmdeploy::cli
