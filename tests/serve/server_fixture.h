// An ApiServer on 127.0.0.1 over a FakeHost, and ways to talk to it.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "http/client.h"
#include "http/sse.h"
#include "http/sse_parser.h"
#include "serve/admin/server_metrics.h"
#include "serve/api_server.h"
#include "tests/serve/fake_host.h"

namespace lmdeploy {

class ApiServerTest : public ::testing::Test {
 protected:
  void start(std::unique_ptr<FakeHost> host = std::make_unique<FakeHost>(),
             ServerSettings settings = {}) {
    host_ = host.get();
    settings.server_name = "127.0.0.1";
    settings.server_port = 0;
    log_path_ = ::testing::TempDir() + "api_server_test_" + std::to_string(::getpid()) + ".log";
    std::remove(log_path_.c_str());
    auto logger = Logger::to_file(log_path_, LogLevel::kInfo);
    ASSERT_TRUE(logger.ok());
    auto server = ApiServer::start(std::move(host), std::make_unique<ServerMetrics>("m"), "m",
                                   settings, std::move(logger).value());
    ASSERT_TRUE(server.ok()) << server.status().message();
    server_ = std::move(server).value();
  }
  void TearDown() override {
    server_.reset();
    std::remove(log_path_.c_str());
  }

  HttpClient client() { return HttpClient({.port = server_->port(), .read_seconds = 10}); }
  HttpReply post(std::string_view path, std::string_view body, const HttpHeaders& headers = {}) {
    auto reply = client().post(path, body, headers);
    EXPECT_TRUE(reply.ok()) << reply.status().message();
    return reply.ok() ? std::move(reply).value() : HttpReply{};
  }
  HttpReply get(std::string_view path, const HttpHeaders& headers = {}) {
    auto reply = client().get(path, headers);
    EXPECT_TRUE(reply.ok()) << reply.status().message();
    return reply.ok() ? std::move(reply).value() : HttpReply{};
  }
  static json::value parsed(std::string_view text) {
    auto value = parse_json(text, "answer");
    EXPECT_TRUE(value.ok()) << text;
    return value.ok() ? std::move(value).value() : json::value(json::object());
  }
  // Posts, expects 200, parses.
  json::value ask(std::string_view path, std::string_view body) {
    const HttpReply reply = post(path, body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return parsed(reply.body);
  }
  // The events of a streamed answer, [DONE] checked and left out.
  std::vector<json::value> stream(std::string_view path, std::string_view body) {
    const HttpReply reply = post(path, body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(*reply.headers.find("Content-Type"), kSseContentType);
    SseParser parser;
    parser.push(reply.body);
    std::vector<json::value> events;
    bool done = false;
    while (auto event = parser.next()) {
      EXPECT_FALSE(done);
      if (*event == "[DONE]") {
        done = true;
      } else {
        events.push_back(parsed(*event));
      }
    }
    EXPECT_TRUE(done);
    return events;
  }
  std::string log_text() const {
    std::ifstream file(log_path_);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  FakeHost* host_ = nullptr;
  std::unique_ptr<ApiServer> server_;
  std::string log_path_;
};

inline std::string chat_body(const std::string& more = "") {
  return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" +
         (more.empty() ? "" : "," + more) + "}";
}

}  // namespace lmdeploy
