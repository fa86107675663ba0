#include "cli/bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <numeric>

namespace lmdeploy::cli {

namespace {

const std::string kRule(50, '-');

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const double rank = std::ceil(share * static_cast<double>(sorted.size()));
  return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

json::object percentiles_json(const Percentiles& p) {
  return {{"p50", p.p50}, {"p75", p.p75}, {"p95", p.p95}, {"p99", p.p99}};
}
json::object spread_json(const Spread& s) {
  return {{"min", s.least}, {"max", s.most}, {"mean", s.average}};
}

StepTotals difference(const StepTotals& after, const StepTotals& before) {
  return {after.steps - before.steps, after.sequences - before.sequences, after.tokens - before.tokens,
          after.seconds - before.seconds};
}

void print_steps(const char* kind, const StepTotals& s) {
  if (s.steps == 0) return;
  const auto steps = static_cast<double>(s.steps);
  std::printf("steps %s: %lld of %.3f ms, %.1f sequences and %.1f tokens each\n", kind, static_cast<long long>(s.steps),
              1e3 * s.seconds / steps, static_cast<double>(s.sequences) / steps, static_cast<double>(s.tokens) / steps);
}

json::object steps_json(const StepTotals& s) {
  return {{"steps", s.steps}, {"sequences", s.sequences}, {"tokens", s.tokens}, {"seconds", s.seconds}};
}

}  // namespace

const char kGenerationCsvHeader[] =
    "batch,prompt_tokens,completion_tokens,throughput(out tok/s),mem(GB),FTL(ave)(s),FTL(min)(s),FTL(max)(s),"
    "50%(s),75%(s),95%(s),99%(s)\n";

Spread spread_of(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {*least, *most, std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size())};
}

Percentiles percentiles_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {percentile(values, 0.5), percentile(values, 0.75), percentile(values, 0.95), percentile(values, 0.99)};
}

BenchSummary summarize(int64_t concurrency, const std::vector<RequestRecord>& records) {
  BenchSummary summary;
  summary.concurrency = concurrency;
  summary.requests = static_cast<int64_t>(records.size());
  double begin = 0, end = 0;
  std::vector<double> first, whole, between;
  for (const RequestRecord& record : records) {
    begin = begin == 0 ? record.sent : std::min(begin, record.sent);
    end = std::max(end, record.ended);
    if (!record.error.empty()) {
      ++summary.failed;
      if (summary.first_error.empty()) summary.first_error = record.error;
      continue;
    }
    summary.prompt_tokens += record.prompt_tokens;
    summary.completion_tokens += static_cast<int64_t>(record.arrivals.size());
    if (record.arrivals.empty()) continue;
    first.push_back(record.arrivals.front() - record.sent);
    whole.push_back(record.ended - record.sent);
    for (size_t i = 1; i < record.arrivals.size(); ++i) between.push_back(record.arrivals[i] - record.arrivals[i - 1]);
  }
  summary.seconds = end - begin;
  summary.first_token = spread_of(first);
  summary.whole_answer = spread_of(whole);
  summary.first_token_percentiles = percentiles_of(std::move(first));
  summary.token_latency = percentiles_of(std::move(between));
  return summary;
}

void set_steps(BenchSummary& summary, const EngineStats& before, const EngineStats& after) {
  summary.decode_steps = difference(after.decode_steps, before.decode_steps);
  summary.prompt_steps = difference(after.prompt_steps, before.prompt_steps);
  summary.device_wait_seconds = after.device_wait_seconds - before.device_wait_seconds;
  summary.preempted = after.preempted - before.preempted;
}

void print_summary(const BenchSummary& s) {
  const Percentiles& t = s.token_latency;
  std::printf("\n%s\nconcurrency: %lld\nelapsed_time: %.3fs\n", kRule.c_str(), static_cast<long long>(s.concurrency), s.seconds);
  std::printf("first token latency(s)(min, max, ave): %.3f, %.3f, %.3f\n", s.first_token.least, s.first_token.most,
              s.first_token.average);
  std::printf("total latency(s)(min, max, ave): %.3f, %.3f, %.3f\n", s.whole_answer.least, s.whole_answer.most,
              s.whole_answer.average);
  std::printf("per-token latency(s) percentile(50, 75, 95, 99): [%.4f, %.4f, %.4f, %.4f]\n", t.p50, t.p75, t.p95, t.p99);
  std::printf("number of prompt tokens: %lld\nnumber of completion tokens: %lld\n", static_cast<long long>(s.prompt_tokens),
              static_cast<long long>(s.completion_tokens));
  std::printf("token throughput (completion token): %.3f token/s\n", s.completion_rate());
  std::printf("token throughput (prompt + completion token): %.3f token/s\n", s.token_rate());
  std::printf("RPS (request per second): %.3f req/s\nRPM (request per minute): %.3f req/min\n", s.request_rate(),
              60 * s.request_rate());
  if (s.limit_seconds > 0) {
    std::printf("physical limit: %s = %.3fs; %.1f%% of it reached\n", s.limit.c_str(), s.limit_seconds,
                100 * s.limit_seconds / s.seconds);
  }
  print_steps("of decodes alone", s.decode_steps);
  print_steps("with prompt tokens", s.prompt_steps);
  if (s.decode_steps.steps + s.prompt_steps.steps > 0) {
    std::printf("engine thread: waited for the device %.1f%% of the time; %lld preemptions\n",
                100 * s.device_wait_seconds / s.seconds, static_cast<long long>(s.preempted));
  }
  if (s.failed > 0) {
    std::printf("failed requests: %lld of %lld; the first: %s\n", static_cast<long long>(s.failed),
                static_cast<long long>(s.requests), s.first_error.c_str());
  }
  std::printf("%s\n", kRule.c_str());
  std::fflush(stdout);
}

json::object summary_json(const BenchSummary& s) {
  json::object out{{"concurrency", s.concurrency},
                   {"requests", s.requests},
                   {"failed", s.failed},
                   {"seconds", s.seconds},
                   {"prompt_tokens", s.prompt_tokens},
                   {"completion_tokens", s.completion_tokens},
                   {"completion_tokens_per_second", s.completion_rate()},
                   {"tokens_per_second", s.token_rate()},
                   {"requests_per_second", s.request_rate()},
                   {"requests_per_minute", 60 * s.request_rate()},
                   {"first_token_seconds", spread_json(s.first_token)},
                   {"first_token_percentiles", percentiles_json(s.first_token_percentiles)},
                   {"answer_seconds", spread_json(s.whole_answer)},
                   {"token_latency_percentiles", percentiles_json(s.token_latency)}};
  if (s.limit_seconds > 0) {
    out["limit_seconds"] = s.limit_seconds;
    out["limit"] = s.limit;
  }
  if (s.decode_steps.steps + s.prompt_steps.steps > 0) {
    out["decode_steps"] = steps_json(s.decode_steps);
    out["prompt_steps"] = steps_json(s.prompt_steps);
    out["device_wait_seconds"] = s.device_wait_seconds;
    out["preemptions"] = s.preempted;
  }
  if (s.failed > 0) out["first_error"] = s.first_error;
  return out;
}

std::string throughput_csv(const BenchSummary& s) {
  const Percentiles& t = s.token_latency;
  return fmt::format(
      "batch,num_promts,RPS,RPM,FTL(ave)(s),FTL(min)(s),FTL(max)(s),50%(s),75%(s),95%(s),99%(s),"
      "throughput(out tok/s),throughput(total tok/s)\n"
      "{},{},{:.3f},{:.3f},{:.3f},{:.3f},{:.3f},{:.4f},{:.4f},{:.4f},{:.4f},{:.3f},{:.3f}\n",
      s.concurrency, s.requests, s.request_rate(), 60 * s.request_rate(), s.first_token.average, s.first_token.least,
      s.first_token.most, t.p50, t.p75, t.p95, t.p99, s.completion_rate(), s.token_rate());
}

std::string generation_csv_row(const BenchSummary& s, int64_t prompt_tokens, int64_t completion_tokens, double memory_gib) {
  const Percentiles& t = s.token_latency;
  return fmt::format("{},{},{},{:.3f},{:.2f},{:.3f},{:.3f},{:.3f},{:.4f},{:.4f},{:.4f},{:.4f}\n", s.concurrency, prompt_tokens,
                     completion_tokens, s.completion_rate(), memory_gib, s.first_token.average, s.first_token.least,
                     s.first_token.most, t.p50, t.p75, t.p95, t.p99);
}

Status write_report(const std::string& path, const std::string& text) {
  if (path.empty()) return {};
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  return out ? Status() : unavailable("{} cannot be written", path);
}

}  // namespace lmdeploy::cli
