#include "serve/admin/server_metrics.h"

#include <algorithm>

namespace lmdeploy {

namespace {

const std::vector<double> kTokenBounds = {1,    2,    5,    10,    20,    50,    100,    200,   500,
                                          1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000};
const std::vector<double> kSecondBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,  2.5,
                                           5,     10,   20,    40,   80,  160,  320, 640};
const std::vector<double> kTokenSecondBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                                0.15,  0.2,    0.3,   0.5,  0.75,  1,    2.5};

double share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace

ServerMetrics::ServerMetrics(const std::string& model_name)
    : labels_{{"model_name", model_name}, {"engine", "0"}},
      running_(registry_.gauge("lmdeploy:num_requests_running", "Requests in the batch.", labels_)),
      waiting_(registry_.gauge("lmdeploy:num_requests_waiting", "Requests in the queue.", labels_)),
      succeeded_(
          registry_.gauge("lmdeploy:num_requests_succeeded", "Requests that finished.", labels_)),
      failed_(registry_.gauge("lmdeploy:num_requests_failed",
                              "Requests that failed or were aborted.", labels_)),
      cache_usage_(registry_.gauge("lmdeploy:gpu_cache_usage_perc",
                                   "Share of KV blocks in use, 0 to 1.", labels_)),
      hit_rate_(registry_.gauge("lmdeploy:prefix_cache_hit_rate",
                                "Share of prompt tokens found in the prefix cache, 0 to 1.",
                                labels_)),
      prompt_tokens_(registry_.counter("lmdeploy:prompt_tokens_total", "Prompt tokens.", labels_)),
      generation_tokens_(
          registry_.counter("lmdeploy:generation_tokens_total", "Generated tokens.", labels_)),
      cached_tokens_(registry_.counter("lmdeploy:cached_tokens_total",
                                       "Prompt tokens found in the prefix cache.", labels_)),
      request_prompt_(registry_.histogram("lmdeploy:request_prompt_tokens",
                                          "Prompt tokens of a request.", kTokenBounds, labels_)),
      request_generation_(registry_.histogram("lmdeploy:request_generation_tokens",
                                              "Generated tokens of a request.", kTokenBounds,
                                              labels_)),
      request_cached_(registry_.histogram("lmdeploy:request_cached_tokens",
                                          "Cached prompt tokens of a request.", kTokenBounds,
                                          labels_)),
      first_token_(registry_.histogram("lmdeploy:time_to_first_token_seconds",
                                       "From queued to the first token.", kSecondBounds, labels_)),
      per_token_(registry_.histogram("lmdeploy:time_per_output_token_seconds",
                                     "Mean time between a request's tokens.", kTokenSecondBounds,
                                     labels_)),
      total_(registry_.histogram("lmdeploy:e2e_request_latency_seconds", "From queued to finished.",
                                 kSecondBounds, labels_)),
      queue_(registry_.histogram("lmdeploy:request_queue_time_seconds", "In the queue.",
                                 kSecondBounds, labels_)),
      inference_(registry_.histogram("lmdeploy:request_inference_time_seconds",
                                     "From the first step to finished.", kSecondBounds, labels_)),
      decode_(registry_.histogram("lmdeploy:request_decode_time_seconds",
                                  "From the first token to finished.", kSecondBounds, labels_)),
      prefill_(registry_.histogram("lmdeploy:request_prefill_time_seconds",
                                   "From the first step to the first token.", kSecondBounds,
                                   labels_)) {}

void ServerMetrics::observe(const RequestTiming& timing) {
  prompt_tokens_.add(static_cast<uint64_t>(timing.prompt_tokens));
  generation_tokens_.add(static_cast<uint64_t>(timing.generated_tokens));
  cached_tokens_.add(static_cast<uint64_t>(timing.cached_tokens));
  MetricLabels labels = labels_;
  labels.emplace_back("finished_reason", finish_reason_name(timing.finish));
  registry_.counter("lmdeploy:request_success_total", "Requests by how they ended.", labels).add();
  if (timing.finish != FinishReason::kStop && timing.finish != FinishReason::kLength) return;
  request_prompt_.observe(static_cast<double>(timing.prompt_tokens));
  request_generation_.observe(static_cast<double>(timing.generated_tokens));
  request_cached_.observe(static_cast<double>(timing.cached_tokens));
  const double decode = std::max(0.0, timing.total - timing.first_token);
  first_token_.observe(timing.first_token);
  if (timing.generated_tokens > 1) {
    per_token_.observe(decode / static_cast<double>(timing.generated_tokens - 1));
  }
  total_.observe(timing.total);
  queue_.observe(timing.queue);
  inference_.observe(std::max(0.0, timing.total - timing.queue));
  decode_.observe(decode);
  prefill_.observe(std::max(0.0, timing.first_token - timing.queue));
}

void ServerMetrics::observe(const AccessRecord& record) {
  registry_
      .counter("lmdeploy:http_responses_total",
               "HTTP answers by status; 0: the client left before.",
               {{"status", std::to_string(record.status)}})
      .add();
}

std::string ServerMetrics::text(const EngineStats& stats) {
  running_.set(static_cast<double>(stats.running));
  waiting_.set(static_cast<double>(stats.waiting));
  succeeded_.set(static_cast<double>(stats.finished));
  failed_.set(static_cast<double>(stats.failed + stats.aborted));
  cache_usage_.set(share(stats.blocks_used, stats.blocks_total));
  hit_rate_.set(share(stats.cached_tokens, stats.prompt_tokens));
  return registry_.prometheus_text();
}

}  // namespace lmdeploy
