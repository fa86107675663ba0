#include "metrics/metrics.h"

#include <gtest/gtest.h>

#include <thread>

namespace lmdeploy {
namespace {

TEST(Metrics, TextOfEachType) {
  MetricsRegistry registry;
  registry.counter("requests_total", "Requests.", {{"code", "200"}}).add(3);
  registry.counter("requests_total", "Requests.", {{"code", "500"}}).add();
  registry.gauge("running", "Now \\ here\nand there.").set(2.5);
  registry.gauge_callback("asked", "From a callback.", [] { return 7.0; });
  Histogram& histogram = registry.histogram("seconds", "Time.", {0.1, 1, 10});
  for (const double value : {0.05, 0.1, 0.5, 100.0}) histogram.observe(value);
  EXPECT_EQ(registry.prometheus_text(),
            "# HELP requests_total Requests.\n"
            "# TYPE requests_total counter\n"
            "requests_total{code=\"200\"} 3\n"
            "requests_total{code=\"500\"} 1\n"
            "# HELP running Now \\\\ here\\nand there.\n"
            "# TYPE running gauge\n"
            "running 2.5\n"
            "# HELP asked From a callback.\n"
            "# TYPE asked gauge\n"
            "asked 7\n"
            "# HELP seconds Time.\n"
            "# TYPE seconds histogram\n"
            "seconds_bucket{le=\"0.1\"} 2\n"
            "seconds_bucket{le=\"1\"} 3\n"
            "seconds_bucket{le=\"10\"} 3\n"
            "seconds_bucket{le=\"+Inf\"} 4\n"
            "seconds_sum 100.65\n"
            "seconds_count 4\n");
}

TEST(Metrics, LabelValuesAreEscaped) {
  MetricsRegistry registry;
  registry.gauge("g", "h", {{"model", "a\"b\\c\nd"}}).set(1);
  EXPECT_NE(registry.prometheus_text().find("g{model=\"a\\\"b\\\\c\\nd\"} 1\n"), std::string::npos);
}

TEST(Metrics, SameNameAndLabelsIsTheSameMetric) {
  MetricsRegistry registry;
  Counter& first = registry.counter("c", "h", {{"a", "b"}});
  for (int i = 0; i < 100; ++i) registry.counter("c", "h", {{"a", std::to_string(i)}});
  EXPECT_EQ(&first, &registry.counter("c", "h", {{"a", "b"}}));
  EXPECT_NE(&first, &registry.counter("c", "h", {{"a", "1"}}));
}

TEST(Metrics, ConcurrentUpdatesAreAllCounted) {
  MetricsRegistry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry] {
      Counter& counter = registry.counter("c", "h");
      Gauge& gauge = registry.gauge("g", "h");
      Histogram& histogram = registry.histogram("s", "h", {1, 2});
      for (int i = 0; i < 10000; ++i) {
        counter.add(2);
        gauge.add(1);
        histogram.observe(i % 3 + 0.5);
        if (i % 1000 == 0) {
          EXPECT_FALSE(registry.prometheus_text().empty());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(registry.counter("c", "h").value(), 80000u);
  EXPECT_EQ(registry.gauge("g", "h").value(), 40000);
  EXPECT_EQ(registry.histogram("s", "h", {}).count(), 40000u);
  EXPECT_EQ(registry.histogram("s", "h", {}).sum(), 4 * (3334 * 0.5 + 3333 * 1.5 + 3333 * 2.5));
}

}  // namespace
}  // namespace lmdeploy
