// What a benchmark measured, and the forms it is told in: the block that LMDeploy's profile scripts
// print, their CSV files, and one JSON object.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/stats.h"

namespace lmdeploy::cli {

// One request as its caller saw it. Seconds on one monotonic clock.
struct RequestRecord {
  double sent = 0;
  std::vector<double> arrivals;  // of each generated token
  double ended = 0;
  int64_t prompt_tokens = 0;
  std::string error;             // empty: it finished
};

// Least, most and average; all 0 without values.
struct Spread {
  double least = 0, most = 0, average = 0;
};
struct Percentiles {
  double p50 = 0, p75 = 0, p95 = 0, p99 = 0;
};
Spread spread_of(const std::vector<double>& values);
// Nearest rank of the sorted values.
Percentiles percentiles_of(std::vector<double> values);

struct BenchSummary {
  int64_t concurrency = 0;
  int64_t requests = 0, failed = 0;
  std::string first_error;
  double seconds = 0;                 // from the first request sent to the last token received
  int64_t prompt_tokens = 0, completion_tokens = 0;
  Spread first_token, whole_answer;   // seconds of a request
  Percentiles first_token_percentiles, token_latency;  // seconds
  double limit_seconds = 0;           // what the bytes alone cost (limit.h); 0: not known
  std::string limit;                  // the sum behind it, in words
  StepTotals decode_steps, prompt_steps;  // of the engine in this process; without steps: not known
  double device_wait_seconds = 0;
  int64_t preempted = 0;

  double completion_rate() const { return seconds > 0 ? static_cast<double>(completion_tokens) / seconds : 0; }
  double token_rate() const {
    return seconds > 0 ? static_cast<double>(prompt_tokens + completion_tokens) / seconds : 0;
  }
  double request_rate() const { return seconds > 0 ? static_cast<double>(requests - failed) / seconds : 0; }
};
BenchSummary summarize(int64_t concurrency, const std::vector<RequestRecord>& records);

// What the engine did between two moments.
void set_steps(BenchSummary& summary, const EngineStats& before, const EngineStats& after);

// The block of profile_throughput.py and profile_restful_api.py.
void print_summary(const BenchSummary& summary);
json::object summary_json(const BenchSummary& summary);

// CSV of profile_throughput.py and profile_restful_api.py: header and one row.
std::string throughput_csv(const BenchSummary& summary);
// CSV of profile_generation.py: header, then generation_csv_row of each combination.
extern const char kGenerationCsvHeader[];
std::string generation_csv_row(const BenchSummary& summary, int64_t prompt_tokens, int64_t completion_tokens,
                               double memory_gib);

// Writes `text` to `path`; an empty path writes nothing.
Status write_report(const std::string& path, const std::string& text);

}  // namespace lmdeploy::cli
