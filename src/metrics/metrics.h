// Metrics: counters, gauges and histograms in a registry, written out as Prometheus text (version
// 0.0.4). Updates are lock-free and may come from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lmdeploy {

// Only grows.
class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double delta) { value_.fetch_add(delta, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Counts observations in buckets (-inf, bounds[0]], (bounds[0], bounds[1]], ..., (last, inf).
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);  // ascending
  void observe(double value);
  uint64_t count() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  const std::vector<double>& bounds() const { return bounds_; }
  // Observations of each bucket alone; bounds().size() + 1 of them.
  std::vector<uint64_t> bucket_counts() const;

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// Owns its metrics; references stay valid as long as it lives. Thread-safe.
class MetricsRegistry {
 public:
  // A metric of family `name`. Metrics of one family share type and help and differ in labels;
  // asking for the same one again gives the same object. Names match [a-zA-Z_:][a-zA-Z0-9_:]*.
  Counter& counter(std::string_view name, std::string_view help, MetricLabels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, MetricLabels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                       MetricLabels labels = {});
  // A value that is asked for when the text is written; the callback must not use the registry and
  // must stay callable as long as it lives.
  void gauge_callback(std::string_view name, std::string_view help, std::function<double()> value,
                      MetricLabels labels = {});
  void counter_callback(std::string_view name, std::string_view help, std::function<double()> value,
                        MetricLabels labels = {});

  std::string prometheus_text() const;

 private:
  enum class Type { kCounter, kGauge, kHistogram };
  struct Series {
    MetricLabels labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::function<double()> callback;
  };
  struct Family {
    std::string name;
    std::string help;
    Type type;
    std::deque<Series> series;
  };
  Series& series_of(std::string_view name, std::string_view help, Type type, MetricLabels labels);
  static void append_series(std::string& out, const Family& family, const Series& series);

  mutable std::mutex mutex_;
  std::deque<Family> families_;
};

inline constexpr std::string_view kPrometheusContentType =
    "text/plain; version=0.0.4; charset=utf-8";

}  // namespace lmdeploy
