// ServerMetrics: the numbers of GET /metrics, under the names of LMDeploy's Prometheus exporter.
#pragma once

#include "engine/engine.h"
#include "http/server.h"
#include "metrics/metrics.h"

namespace lmdeploy {

// Thread-safe.
class ServerMetrics {
 public:
  explicit ServerMetrics(const std::string& model_name);

  // A request has ended; Engine::Hooks::on_finished.
  void observe(const RequestTiming& timing);
  // An HTTP exchange has ended.
  void observe(const AccessRecord& record);
  // Prometheus text, with the engine's numbers of this moment.
  std::string text(const EngineStats& stats);

 private:
  MetricsRegistry registry_;
  const MetricLabels labels_;
  Gauge &running_, &waiting_, &succeeded_, &failed_, &cache_usage_, &hit_rate_;
  Counter &prompt_tokens_, &generation_tokens_, &cached_tokens_;
  Histogram &request_prompt_, &request_generation_, &request_cached_;
  Histogram &first_token_, &per_token_, &total_, &queue_, &inference_, &decode_, &prefill_;
};

}  // namespace lmdeploy
