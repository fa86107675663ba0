// What all routes share: keys, bodies, limits, cancellation, shutdown.
#include "serve/api_server.h"

#include "serve/admin/step_watch.h"
#include "serve/admin/throughput_log.h"
#include "serve/engine_host.h"
#include "tests/http/raw_socket.h"
#include "tests/serve/server_fixture.h"

namespace lmdeploy {
namespace {

constexpr std::string_view kChat = "/v1/chat/completions";

bool eventually(const std::function<bool()>& condition, double seconds = 2) {
  const double deadline = monotonic_seconds() + seconds;
  while (!condition()) {
    if (monotonic_seconds() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

TEST_F(ApiServerTest, KeysGuardEveryRouteButHealth) {
  ServerSettings settings;
  settings.api_keys = {"sk-1", "sk-2"};
  start(std::make_unique<FakeHost>(), settings);
  EXPECT_EQ(get("/health").status, 200);
  for (const char* path : {"/v1/models", "/metrics", "/nothing", "/", "/health/", "//health"}) {
    const HttpReply reply = get(path);
    EXPECT_EQ(reply.status, 401) << path;
    EXPECT_EQ(parsed(reply.body).at("error").at("code"), "invalid_api_key");
    EXPECT_EQ(get(path, {{"Authorization", "Bearer sk-3"}}).status, 401);
  }
  EXPECT_EQ(post(kChat, chat_body()).status, 401);
  EXPECT_EQ(post(kChat, chat_body(), {{"Authorization", "Bearer sk-1"}}).status, 200);
  const uint64_t first = host_->last_request().tenant;
  EXPECT_EQ(post(kChat, chat_body(), {{"Authorization", "Bearer sk-2"}}).status, 200);
  EXPECT_NE(host_->last_request().tenant, first);
}

TEST_F(ApiServerTest, Models) {
  start();
  const json::value list = parsed(get("/v1/models").body);
  EXPECT_EQ(list.at("object"), "list");
  const json::value& card = list.at("data").at(0);
  EXPECT_EQ(card.at("id"), "m");
  EXPECT_EQ(card.at("object"), "model");
  EXPECT_EQ(card.at("owned_by"), "lmdeploy");
  EXPECT_EQ(card.at("root"), "m");
  EXPECT_TRUE(card.at("permission").at(0).at("id").as_string().starts_with("modelperm-"));
  EXPECT_EQ(parsed(get("/v1/models/m").body).at("max_model_len"), 1000);
  const HttpReply missing = get("/v1/models/a%2Fb/c");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(parsed(missing.body).at("error").at("message"), "The model `a/b/c` does not exist.");
  EXPECT_EQ(parsed(missing.body).at("error").at("code"), "model_not_found");
  const HttpReply reply = post(kChat, R"({"model":"other","messages":"a"})");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(parsed(reply.body).at("error").at("message"), "The model `other` does not exist.");
}

TEST_F(ApiServerTest, BadBodies) {
  start();
  const std::string deep =
      R"({"model":"m","messages":)" + std::string(100, '[') + std::string(100, ']') + "}";
  for (const std::string& body : {std::string(), std::string("{"), std::string("[1]"),
                                  std::string("nonsense"), std::string("{\"a\":\"\xFF\"}"),
                                  chat_body() + "x", deep, "[" + std::string(5 << 20, ',') + "]"}) {
    const HttpReply reply = post(kChat, body);
    EXPECT_EQ(reply.status, 400) << body.substr(0, 40);
    EXPECT_EQ(parsed(reply.body).at("object"), "error");
  }
  EXPECT_EQ(client().request("POST", kChat, "text/plain", chat_body(), {})->status, 415);
  EXPECT_EQ(post(kChat, std::string(17 << 20, ' ')).status, 413);
  EXPECT_EQ(post(kChat, chat_body()).status, 200);
}

TEST_F(ApiServerTest, UnknownFieldsAreLoggedOnce) {
  start();
  for (int i = 0; i < 3; ++i) ask(kChat, chat_body(R"("zebra":1,"yak":{"a":[]})"));
  const std::string log = log_text();
  const size_t first = log.find("'zebra'");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(log.find("'zebra'", first + 1), std::string::npos);
  EXPECT_NE(log.find("'yak'"), std::string::npos);
  EXPECT_NE(log.find("\"POST /v1/chat/completions\" 200"), std::string::npos);
}

TEST_F(ApiServerTest, FullQueueAndTooManyRequests) {
  auto host = std::make_unique<FakeHost>();
  host->capacity = 0;
  start(std::move(host));
  const HttpReply full = post(kChat, chat_body());
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(*full.headers.find("Retry-After"), "1");
  server_.reset();

  auto slow = std::make_unique<FakeHost>();
  slow->token_delay = std::chrono::milliseconds(30);
  ServerSettings settings;
  settings.max_concurrent_requests = 1;
  start(std::move(slow), settings);
  std::thread first([this] { post(kChat, chat_body()); });
  EXPECT_TRUE(eventually([this] { return host_->running == 1; }));
  EXPECT_EQ(post(kChat, chat_body()).status, 429);
  first.join();
  EXPECT_EQ(post(kChat, chat_body()).status, 200);  // whoever has the answer finds the place free
}

TEST_F(ApiServerTest, ClientsThatLeaveCancelTheirRequests) {
  for (const char* more : {R"("stream":true)", R"("stream":false)"}) {
    auto host = std::make_unique<FakeHost>();
    host->script = std::string(1000, 'x');
    host->token_delay = std::chrono::milliseconds(20);
    start(std::move(host));
    const std::string body = chat_body(more);
    RawSocket socket(server_->port());
    socket.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        "Content-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
    ASSERT_TRUE(eventually([this] { return host_->running == 1; }));
    socket.close();
    EXPECT_TRUE(eventually([this] { return host_->running == 0; }, 0.5)) << more;
    EXPECT_EQ(host_->cancels, 1);
    server_.reset();
  }
}

TEST_F(ApiServerTest, StopLetsAnswersFinish) {
  auto host = std::make_unique<FakeHost>();
  host->token_delay = std::chrono::milliseconds(20);
  start(std::move(host));
  std::string body;
  std::thread asker([&] { body = post(kChat, chat_body(R"("stream":true)")).body; });
  ASSERT_TRUE(eventually([this] { return host_->running == 1; }));
  EXPECT_TRUE(server_->stop(10));
  asker.join();
  EXPECT_TRUE(body.ends_with("data: [DONE]\n\n"));
}

TEST_F(ApiServerTest, StopCutsOffWhatTakesTooLong) {
  auto host = std::make_unique<FakeHost>();
  host->script = std::string(900, 'x');
  host->token_delay = std::chrono::milliseconds(20);
  start(std::move(host));
  HttpReply whole, streamed;
  std::thread asker([&] { whole = post(kChat, chat_body()); });
  std::thread listener([&] { streamed = post(kChat, chat_body(R"("stream":true)")); });
  ASSERT_TRUE(eventually([this] { return host_->running == 2; }));
  const double begin = monotonic_seconds();
  EXPECT_FALSE(server_->stop(0.1));
  EXPECT_LT(monotonic_seconds() - begin, 1.5);
  asker.join();
  listener.join();
  EXPECT_EQ(whole.status, 503);
  EXPECT_NE(parsed(whole.body).at("error").at("message").as_string().find("shutting down"),
            json::string::npos);
  EXPECT_EQ(streamed.status, 200);
  EXPECT_NE(streamed.body.find("data: {\"error\":{\"message\":\"the server stopped"), std::string::npos);
  EXPECT_TRUE(streamed.body.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(host_->cancels, 0);
}

TEST_F(ApiServerTest, MetricsAndHealth) {
  start();
  ask(kChat, chat_body());
  const HttpReply metrics = get("/metrics");
  EXPECT_EQ(*metrics.headers.find("Content-Type"), kPrometheusContentType);
  EXPECT_NE(metrics.body.find("lmdeploy:gpu_cache_usage_perc{model_name=\"m\",engine=\"0\"} 0.5\n"),
            std::string::npos);
  EXPECT_NE(metrics.body.find("lmdeploy:http_responses_total{status=\"200\"} 1\n"),
            std::string::npos);
  EXPECT_EQ(parsed(get("/health").body).at("status"), "healthy");
}

TEST(ServerMetrics, CountsRequests) {
  ServerMetrics metrics("m");
  metrics.observe(RequestTiming{.queue = 0.1,
                                .first_token = 0.3,
                                .total = 1.3,
                                .prompt_tokens = 10,
                                .cached_tokens = 4,
                                .generated_tokens = 11});
  metrics.observe(RequestTiming{.total = 1, .prompt_tokens = 1, .finish = FinishReason::kAbort});
  const std::string text = metrics.text({.prompt_tokens = 8, .cached_tokens = 2});
  for (const char* line :
       {"lmdeploy:prompt_tokens_total{model_name=\"m\",engine=\"0\"} 11\n",
        "lmdeploy:generation_tokens_total{model_name=\"m\",engine=\"0\"} 11\n",
        "finished_reason=\"stop\"} 1\n", "finished_reason=\"abort\"} 1\n",
        "lmdeploy:time_per_output_token_seconds_count{model_name=\"m\",engine=\"0\"} 1\n",
        "lmdeploy:time_per_output_token_seconds_bucket{model_name=\"m\",engine=\"0\",le=\"0.1\"} "
        "1\n",
        "lmdeploy:prefix_cache_hit_rate{model_name=\"m\",engine=\"0\"} 0.25\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST(StepWatch, StallsOnlyWhileSomethingRuns) {
  StepWatch watch(60);
  EXPECT_FALSE(watch.stalled({.running = 0, .steps = 5}, 0));
  EXPECT_FALSE(watch.stalled({.running = 1, .steps = 5}, 1000));  // idle until now
  EXPECT_FALSE(watch.stalled({.running = 1, .steps = 5}, 1059));
  EXPECT_TRUE(watch.stalled({.running = 1, .steps = 5}, 1061));
  EXPECT_FALSE(watch.stalled({.running = 1, .steps = 6}, 1062));
  EXPECT_FALSE(watch.stalled({.running = 1, .steps = 6}, 1121));
  EXPECT_FALSE(watch.stalled({.running = 0, .steps = 6}, 2000));
  EXPECT_FALSE(watch.stalled({.running = 1, .steps = 6}, 3000));
}

TEST_F(ApiServerTest, ThroughputIsLoggedWhileThereIsAny) {
  start();
  std::atomic<int64_t> steps{0};
  {
    auto logger = Logger::to_file(log_path_, LogLevel::kInfo);
    ThroughputLog log([&] { return EngineStats{.generated_tokens = steps * 10, .steps = steps}; },
                      *logger, 0.02);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    EXPECT_EQ(log_text().find("Avg thr"), std::string::npos);
    steps = 5;
    EXPECT_TRUE(eventually([this] { return log_text().find("Avg thr") != std::string::npos; }));
  }
  const std::string line = throughput_line({.prompt_tokens = 100, .generated_tokens = 50},
                                           {.running = 2,
                                            .waiting = 1,
                                            .blocks_total = 8,
                                            .blocks_used = 1,
                                            .prompt_tokens = 300,
                                            .cached_tokens = 150,
                                            .generated_tokens = 75,
                                            .finished = 4,
                                            .aborted = 1,
                                            .failed = 2},
                                           10);
  EXPECT_EQ(line,
            "Avg thr (in/out): 20.0 / 2.5 tokens/s, Server (succeeded/failed/running/waiting): 4 / "
            "3 / 2 / 1, "
            "KV cache: 12.5%, Prefix cache hit rate: 50.0%");
}

TEST_F(ApiServerTest, LaterRoutesSaySo) {
  start();
  for (const char* path : {"/v1/embeddings", "/v1/chat/interactive", "/v1/responses"}) {
    const HttpReply reply = post(path, "{}");
    EXPECT_EQ(reply.status, 501);
    EXPECT_NE(reply.body.find("not in this version"), std::string::npos);
  }
  EXPECT_EQ(get(kChat).status, 405);
}

TEST(EngineHost, BytesOfPieces) {
  EXPECT_EQ(bytes_of_piece("abc", "abc"), "abc");
  EXPECT_EQ(bytes_of_piece("<0xE2>", "\xEF\xBF\xBD"), "\xE2");
  EXPECT_EQ(bytes_of_piece("\xC3\xA2", "\xEF\xBF\xBD"),
            "\xE2");  // "â" is byte 0xE2 in byte-level pieces
}

TEST(ApiServer, AnIPv6AddressIsBracketedInTheUrl) {
  auto server = ApiServer::start(std::make_unique<FakeHost>(), std::make_unique<ServerMetrics>("m"),
                                 "m", {.server_name = "::1", .server_port = 0},
                                 Logger(LogLevel::kOff));
  if (!server.ok()) GTEST_SKIP() << server.status().message();  // a machine without IPv6
  EXPECT_EQ((*server)->url(), "http://[::1]:" + std::to_string((*server)->port()));
}

TEST(ApiServer, SettingsAreChecked) {
  const struct {
    ServerSettings settings;
    const char* flag;
  } cases[] = {{{.server_name = "127.0.0.1", .server_port = 70000}, "--server-port"},
               {{.server_name = "127.0.0.1", .max_body_mib = 0}, "--max-body-mib"},
               {{.server_name = "127.0.0.1", .ssl = true}, "SSL_CERTFILE"}};
  for (const auto& test : cases) {
    auto server =
        ApiServer::start(std::make_unique<FakeHost>(), std::make_unique<ServerMetrics>("m"), "m",
                         test.settings, Logger(LogLevel::kOff));
    ASSERT_FALSE(server.ok());
    EXPECT_NE(server.status().message().find(test.flag), std::string::npos);
  }
}

}  // namespace
}  // namespace lmdeploy
