#include "metrics/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace lmdeploy {

namespace {

bool valid_name(std::string_view name) {
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
    if (!letter && (i == 0 || c < '0' || c > '9')) return false;
  }
  return !name.empty();
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// {a="b",le="5"}; nothing without labels.
void append_labels(std::string& out, const MetricLabels& labels, std::string_view bound = {}) {
  if (labels.empty() && bound.empty()) return;
  char separator = '{';
  const auto append = [&](std::string_view name, std::string_view value) {
    out += separator;
    out.append(name).append("=\"");
    append_escaped(out, value, true);
    out += '"';
    separator = ',';
  };
  for (const auto& [name, value] : labels) append(name, value);
  if (!bound.empty()) append("le", bound);
  out += '}';
}

void append_sample(std::string& out, std::string_view name, std::string_view suffix,
                   const MetricLabels& labels, std::string_view bound, const std::string& value) {
  out.append(name).append(suffix);
  append_labels(out, labels, bound);
  out.append(" ").append(value).append("\n");
}

void append_histogram(std::string& out, std::string_view name, const MetricLabels& labels,
                      const Histogram& histogram) {
  const std::vector<uint64_t> counts = histogram.bucket_counts();
  uint64_t total = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    const std::string bound =
        i < histogram.bounds().size() ? number(histogram.bounds()[i]) : "+Inf";
    append_sample(out, name, "_bucket", labels, bound, std::to_string(total));
  }
  append_sample(out, name, "_sum", labels, {}, number(histogram.sum()));
  append_sample(out, name, "_count", labels, {}, std::to_string(total));
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
  CHECK(std::is_sorted(bounds_.begin(), bounds_.end()), "histogram bounds must ascend");
}

void Histogram::observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

uint64_t Histogram::count() const {
  uint64_t total = 0;
  for (const auto& count : counts_) total += count.load(std::memory_order_relaxed);
  return total;
}

std::vector<uint64_t> Histogram::bucket_counts() const {
  std::vector<uint64_t> out;
  for (const auto& count : counts_) out.push_back(count.load(std::memory_order_relaxed));
  return out;
}

MetricsRegistry::Series& MetricsRegistry::series_of(std::string_view name, std::string_view help,
                                                    Type type, MetricLabels labels) {
  CHECK(valid_name(name), "'{}' is not a metric name", name);
  auto family = std::find_if(families_.begin(), families_.end(),
                             [&](const Family& candidate) { return candidate.name == name; });
  if (family == families_.end()) {
    families_.push_back({std::string(name), std::string(help), type, {}});
    family = families_.end() - 1;
  }
  CHECK(family->type == type, "metric '{}' has two types", name);
  for (Series& series : family->series) {
    if (series.labels == labels) return series;
  }
  return family->series.emplace_back(Series{.labels = std::move(labels)});
}

Counter& MetricsRegistry::counter(std::string_view name, std::string_view help,
                                  MetricLabels labels) {
  std::lock_guard lock(mutex_);
  Series& series = series_of(name, help, Type::kCounter, std::move(labels));
  if (!series.counter) series.counter = std::make_unique<Counter>();
  return *series.counter;
}

Gauge& MetricsRegistry::gauge(std::string_view name, std::string_view help, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  Series& series = series_of(name, help, Type::kGauge, std::move(labels));
  if (!series.gauge) series.gauge = std::make_unique<Gauge>();
  return *series.gauge;
}

Histogram& MetricsRegistry::histogram(std::string_view name, std::string_view help,
                                      std::vector<double> bounds, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  Series& series = series_of(name, help, Type::kHistogram, std::move(labels));
  if (!series.histogram) series.histogram = std::make_unique<Histogram>(std::move(bounds));
  return *series.histogram;
}

void MetricsRegistry::gauge_callback(std::string_view name, std::string_view help,
                                     std::function<double()> value, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  series_of(name, help, Type::kGauge, std::move(labels)).callback = std::move(value);
}

void MetricsRegistry::counter_callback(std::string_view name, std::string_view help,
                                       std::function<double()> value, MetricLabels labels) {
  std::lock_guard lock(mutex_);
  series_of(name, help, Type::kCounter, std::move(labels)).callback = std::move(value);
}

void MetricsRegistry::append_series(std::string& out, const Family& family, const Series& series) {
  if (series.histogram) return append_histogram(out, family.name, series.labels, *series.histogram);
  std::string value;
  if (series.callback) {
    value = number(series.callback());
  } else if (series.counter) {
    value = std::to_string(series.counter->value());
  } else {
    value = number(series.gauge->value());
  }
  append_sample(out, family.name, {}, series.labels, {}, value);
}

std::string MetricsRegistry::prometheus_text() const {
  static constexpr const char* kTypes[] = {"counter", "gauge", "histogram"};
  std::lock_guard lock(mutex_);
  std::string out;
  for (const Family& family : families_) {
    out.append("# HELP ").append(family.name).append(" ");
    append_escaped(out, family.help, false);
    out.append("\n# TYPE ").append(family.name).append(" ");
    out.append(kTypes[static_cast<int>(family.type)]).append("\n");
    for (const Series& series : family.series) append_series(out, family, series);
  }
  return out;
}

}  // namespace lmdeploy
