// lmdeploy bench serving: requests a second of a running OpenAI-compatible server, as its clients see
// it (LMDeploy's profile_restful_api.py).

#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/random.h"
#include "cli/bench/bench.h"
#include "cli/bench/progress_bar.h"
#include "cli/bench/report.h"
#include "cli/bench/workload.h"
#include "cli/program.h"
#include "engine/model_text.h"
#include "http/client.h"
#include "http/sse_parser.h"

namespace lmdeploy::cli {

namespace {

constexpr int64_t kMostConnections = 4096;
constexpr double kReadSeconds = 600;  // a request may wait in the server's queue

struct ServingOptions {
  std::string server, tokenizer, model_name, api_key;
  int64_t concurrency = 128;
  int64_t vocab_size = 32000;
  bool stream_output = true;
  double request_rate = 0, top_p = 1.0, temperature = 1.0;
  std::string csv = "./profile_api_server.csv", output_file;
  WorkloadOptions workload;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "tokenizer", .help = "model or tokenizer.json that counts the tokens of --dataset", .value_name = "PATH"},
          self.tokenizer);
    visit({.name = "vocab-size", .help = "random prompt ids are below this, without --tokenizer", .value_name = "N"},
          self.vocab_size);
    visit({.name = "model-name", .help = "model to ask for; empty takes the server's first", .value_name = "NAME"},
          self.model_name);
    visit({.name = "api-key", .help = "key that the server wants", .value_name = "KEY"}, self.api_key);
    visit({.name = "concurrency", .help = "requests in flight, one connection each", .aliases = {"c"}, .value_name = "N"},
          self.concurrency);
    visit({.name = "request-rate", .help = "requests that begin in a second, at random moments; 0 sends as fast as answers come",
           .value_name = "RATE"}, self.request_rate);
    visit({.name = "stream-output", .help = "read the answer token by token"}, self.stream_output);
    visit({.name = "top-p", .help = "draw from the most likely tokens that sum up to this", .value_name = "P"}, self.top_p);
    visit({.name = "temperature", .help = "0 is greedy", .value_name = "T"}, self.temperature);
    visit({.name = "csv", .help = "table to write; an empty path writes none", .value_name = "FILE"}, self.csv);
    visit({.name = "output-file", .help = "also write every figure as one JSON object", .value_name = "FILE"},
          self.output_file);
  }
};

// http://HOST[:PORT]
Result<HttpClientOptions> parse_server(std::string_view address) {
  HttpClientOptions out;
  if (address.starts_with("https://")) {
    out.tls = true;
    out.port = 443;
    address.remove_prefix(8);
  } else if (address.starts_with("http://")) {
    address.remove_prefix(7);
  }
  if (address.ends_with('/')) address.remove_suffix(1);
  const size_t colon = address.rfind(':');
  out.host = address.substr(0, colon);
  if (colon != std::string_view::npos) {
    const std::string_view port = address.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (error != std::errc() || end != port.data() + port.size() || out.port < 1 || out.port > 65535) {
      return invalid_argument("server address: port '{}'; expected http://HOST:PORT", port);
    }
  }
  if (out.host.empty()) return invalid_argument("server address has no host; expected http://HOST:PORT");
  out.read_seconds = kReadSeconds;
  return out;
}

HttpHeaders headers_for(const ServingOptions& options) {
  HttpHeaders headers;
  if (!options.api_key.empty()) headers.push_back({"Authorization", "Bearer " + options.api_key});
  return headers;
}

Result<std::string> first_model(HttpClient& client, const HttpHeaders& headers) {
  ASSIGN_OR_RETURN(const HttpReply reply, client.get("/v1/models", headers));
  if (reply.status != 200) return unavailable("GET /v1/models answered {}: {}", reply.status, reply.body);
  ASSIGN_OR_RETURN(const json::value body, parse_json(reply.body, "/v1/models"));
  const json::value* data = body.is_object() ? find(body.as_object(), "data") : nullptr;
  if (data == nullptr || !data->is_array() || data->as_array().empty() || !data->as_array()[0].is_object()) {
    return unavailable("/v1/models lists no model: {}", reply.body);
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> id, get_string(data->as_array()[0].as_object(), "id"));
  return id.value_or("");
}

std::string body_of(const ServingOptions& options, const std::string& model, const BenchRequest& work) {
  json::array prompt(work.prompt.begin(), work.prompt.end());
  json::object body{{"model", model},
                    {"prompt", std::move(prompt)},
                    {"max_tokens", work.new_tokens},
                    {"ignore_eos", true},
                    {"top_p", options.top_p},
                    {"temperature", options.temperature},
                    {"stream", options.stream_output}};
  if (options.stream_output) body["stream_options"] = json::object{{"include_usage", true}};
  return to_json_text(body);
}

// The completion tokens that a chunk's or an answer's `usage` counts; -1 without one.
int64_t counted_tokens(const json::object& answer) {
  const json::value* usage = find(answer, "usage");
  if (usage == nullptr || !usage->is_object()) return -1;
  const Result<std::optional<int64_t>> tokens = get_int(usage->as_object(), "completion_tokens");
  return tokens.ok() ? tokens->value_or(-1) : -1;
}

// Follows one streamed answer: when text came, and how many tokens the server counted.
class StreamReader {
 public:
  explicit StreamReader(RequestRecord& record) : record_(record) {}

  bool take(std::string_view bytes) {
    const double now = monotonic_seconds();
    parser_.push(bytes);
    while (const std::optional<std::string> event = parser_.next()) {
      if (*event == "[DONE]") continue;
      const Result<json::value> chunk = parse_json(*event, "stream");
      if (!chunk.ok() || !chunk->is_object()) {
        record_.error = "a chunk of the stream is no JSON object: " + *event;
        return false;
      }
      const json::object& object = chunk->as_object();
      if (find(object, "error") != nullptr) record_.error = *event;
      if (const int64_t tokens = counted_tokens(object); tokens >= 0) tokens_ = tokens;
      const json::value* choices = find(object, "choices");
      if (choices != nullptr && choices->is_array() && !choices->as_array().empty()) record_.arrivals.push_back(now);
    }
    return !parser_.overflowed();
  }
  // Chunks can hold several tokens, or only a finish reason: the count is the server's.
  void finish() {
    if (tokens_ < 0 && record_.error.empty()) record_.error = "the stream ended without usage";
    const double last = record_.arrivals.empty() ? monotonic_seconds() : record_.arrivals.back();
    if (tokens_ >= 0) record_.arrivals.resize(static_cast<size_t>(tokens_), last);
  }

 private:
  RequestRecord& record_;
  SseParser parser_;
  int64_t tokens_ = -1;
};

void send_one(HttpClient& client, const ServingOptions& options, const HttpHeaders& headers, const std::string& body,
              RequestRecord& record) {
  constexpr const char* kPath = "/v1/completions";
  record.sent = monotonic_seconds();
  if (options.stream_output) {
    StreamReader reader(record);
    const Result<HttpReply> reply = client.request("POST", kPath, "application/json", body, headers,
                                                   [&](std::string_view bytes) { return reader.take(bytes); });
    if (!reply.ok() && record.error.empty()) record.error = reply.status().message();
    if (reply.ok() && reply->status != 200) record.error = fmt::format("HTTP {}", reply->status);
    reader.finish();
  } else {
    const Result<HttpReply> reply = client.post(kPath, body, headers);
    const Result<json::value> answer = reply.ok() ? parse_json(reply->body, "answer") : reply.status();
    const int64_t tokens = answer.ok() && answer->is_object() ? counted_tokens(answer->as_object()) : -1;
    if (!answer.ok()) record.error = answer.status().message();
    if (answer.ok() && (reply->status != 200 || tokens < 0)) record.error = fmt::format("HTTP {}: {}", reply->status, reply->body);
    if (tokens > 0) record.arrivals.assign(static_cast<size_t>(tokens), monotonic_seconds());
  }
  record.ended = monotonic_seconds();
}

// Seconds after the start at which each request begins: exponential gaps of mean 1 / rate.
std::vector<double> start_times(size_t count, double rate, uint64_t seed) {
  std::vector<double> times(count, 0.0);
  double at = 0;
  for (size_t i = 0; rate > 0 && i < count; ++i) {
    times[i] = at;
    const double uniform = (static_cast<double>(hash_random(seed, i) >> 11) + 0.5) * 0x1p-53;
    at += -std::log(uniform) / rate;
  }
  return times;
}

std::vector<RequestRecord> run_on_server(const HttpClientOptions& server, const ServingOptions& options,
                                         const std::string& model, const std::vector<BenchRequest>& requests) {
  std::vector<RequestRecord> records(requests.size());
  const std::vector<double> starts = start_times(requests.size(), options.request_rate, static_cast<uint64_t>(options.workload.seed));
  const HttpHeaders headers = headers_for(options);
  ProgressBar progress("requests", static_cast<int64_t>(requests.size()));
  std::atomic<size_t> next{0};
  const double start = monotonic_seconds();
  std::vector<std::thread> clients;
  for (int64_t c = 0; c < options.concurrency; ++c) {
    clients.emplace_back([&] {
      HttpClient client(server);
      for (size_t i = next++; i < requests.size(); i = next++) {
        const double wait = starts[i] - (monotonic_seconds() - start);
        if (wait > 0) std::this_thread::sleep_for(std::chrono::duration<double>(wait));
        records[i].prompt_tokens = static_cast<int64_t>(requests[i].prompt.size());
        send_one(client, options, headers, body_of(options, model, requests[i]), records[i]);
        progress.advance();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  return records;
}

Status bench_serving(ServingOptions options) {
  if (options.concurrency < 1 || options.concurrency > kMostConnections) {
    return invalid_argument("--concurrency is {}; expected 1 to {}", options.concurrency, kMostConnections);
  }
  if (options.request_rate < 0) return invalid_argument("--request-rate is {}; expected 0 or more", options.request_rate);
  if (options.vocab_size < 1) return invalid_argument("--vocab-size is {}; expected 1 or more", options.vocab_size);
  ASSIGN_OR_RETURN(const HttpClientOptions server, parse_server(options.server));
  std::unique_ptr<Tokenizer> tokenizer;
  if (!options.tokenizer.empty()) {
    ASSIGN_OR_RETURN(tokenizer, load_tokenizer(options.tokenizer));
    options.vocab_size = tokenizer->vocab_size();
  }
  ASSIGN_OR_RETURN(const std::vector<BenchRequest> requests,
                   load_workload(options.workload, options.vocab_size, tokenizer.get()));
  HttpClient client(server);
  std::string model = options.model_name;
  if (model.empty()) {
    ASSIGN_OR_RETURN(model, first_model(client, headers_for(options)));
  }
  const BenchSummary summary = summarize(options.concurrency, run_on_server(server, options, model, requests));
  print_summary(summary);
  RETURN_IF_ERROR(write_report(options.csv, throughput_csv(summary)));
  const json::object out{{"benchmark", "serving"}, {"version", kVersion}, {"server", options.server},
                         {"model", model}, {"results", json::array{summary_json(summary)}}};
  RETURN_IF_ERROR(write_report(options.output_file, to_json_text(out) + "\n"));
  if (summary.failed == 0) return {};
  return unavailable("{} of {} requests failed; the first: {}", summary.failed, summary.requests, summary.first_error);
}

}  // namespace

void add_bench_serving(Command& bench) {
  Command command = bench.subcommand("serving", "Requests a second of a running server, over HTTP.");
  auto options = std::make_shared<ServingOptions>();
  command.positional("server", "address of the server: http://HOST:PORT", options->server);
  command.options(*options);
  command.options(options->workload);
  command.run([options] { return finish_bench(bench_serving(*options)); });
}

}  // namespace lmdeploy::cli
