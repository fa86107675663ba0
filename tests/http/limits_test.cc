// What a hostile or broken client meets: every limit has its status, and the server lives on.
#include <gtest/gtest.h>

#include <thread>

#include "tests/http/server_fixture.h"

namespace lmdeploy {
namespace {

class LimitsTest : public ServerTest {
 protected:
  // Status line's code of the answer to `request` on a new connection.
  std::string status_of(std::string_view request) {
    RawSocket socket = connect();
    socket.send(request);
    const std::string answer = socket.read_until("\r\n\r\n");
    return answer.substr(0, 12);
  }
  void expect_alive() { EXPECT_EQ(status_of(http_get("/hello")), "HTTP/1.1 200"); }
};

TEST_F(LimitsTest, SizesAndCounts) {
  ServerOptions options;
  options.limits.body_bytes = 1000;
  start(std::move(options));
  EXPECT_EQ(status_of(http_post("/echo", std::string(1000, 'x'))), "HTTP/1.1 200");
  EXPECT_EQ(status_of(http_post("/echo", std::string(1001, 'x'))), "HTTP/1.1 413");
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n"),
            "HTTP/1.1 413");
  EXPECT_EQ(
      status_of("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                std::string(1001, 'x') + "\r\n0\r\n\r\n"),
      "HTTP/1.1 413");
  EXPECT_EQ(status_of(http_get("/" + std::string(8191, 'a'))), "HTTP/1.1 404");
  EXPECT_EQ(status_of(http_get("/" + std::string(8192, 'a'))), "HTTP/1.1 414");
  EXPECT_EQ(status_of(http_get("/" + std::string(100000, 'a'))), "HTTP/1.1 414");
  EXPECT_EQ(status_of(http_get("/", "X: " + std::string(20000, 'a') + "\r\n")), "HTTP/1.1 431");
  std::string many;
  for (int i = 0; i < 200; ++i) many += "A: b\r\n";
  EXPECT_EQ(status_of(http_get("/", many)), "HTTP/1.1 431");
  expect_alive();
}

TEST_F(LimitsTest, LargeUploadReadsItsRefusal) {
  ServerOptions options;
  options.limits.body_bytes = 1000;
  start(std::move(options));
  // The answer comes while the client still sends; it must not be reset away.
  auto reply = client().post("/echo", std::string(3 << 20, 'x'));
  ASSERT_TRUE(reply.ok()) << reply.status().message();
  EXPECT_EQ(reply->status, 413);
}

TEST_F(LimitsTest, MalformedRequests) {
  start();
  EXPECT_EQ(status_of("GET /\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400");  // no Host
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: t\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: t\r\nbad header\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n"),
            "HTTP/1.1 400");
  EXPECT_EQ(
      status_of(
          "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
      "HTTP/1.1 400");
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: "
                      "chunked\r\n\r\n0\r\n\r\n"),
            "HTTP/1.1 400");
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "HTTP/1.1 400");
  EXPECT_EQ(status_of("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
                      std::string(100000, 'x')),
            "HTTP/1.1 400");
  EXPECT_EQ(status_of("\x16\x03\x01\x02" + std::string(100, '\1') + "\r\n\r\n"),
            "HTTP/1.1 400");  // TLS
  expect_alive();
}

TEST_F(LimitsTest, SlowClientsAreCutOff) {
  ServerOptions options;
  options.limits.header_seconds = 0.3;
  options.limits.body_seconds = 0.3;
  options.limits.idle_seconds = 0.3;
  start(std::move(options));
  RawSocket idle = connect();
  RawSocket header = connect();
  RawSocket body = connect();
  header.send("GET /hello HT");
  body.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
  for (int i = 0; i < 5; ++i) {  // a byte now and then earns no more time
    std::this_thread::sleep_for(std::chrono::milliseconds(80));
    header.send("x");
    body.send("x");
  }
  EXPECT_TRUE(header.read_all(2).starts_with("HTTP/1.1 408"));
  EXPECT_TRUE(body.read_all(2).starts_with("HTTP/1.1 408"));
  EXPECT_EQ(idle.read_all(2), "");
  EXPECT_TRUE(idle.closed());
  expect_alive();
}

TEST_F(LimitsTest, ConnectionsAboveTheLimitGet503) {
  ServerOptions options;
  options.limits.connections = 3;
  start(std::move(options));
  std::vector<RawSocket> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(connect());
    open.back().send(http_get("/hello"));
    EXPECT_NE(open.back().read_until("hello"), "");
  }
  EXPECT_EQ(status_of(http_get("/hello")), "HTTP/1.1 503");
  open.clear();
  const double deadline = monotonic_seconds() + 5;
  while (server_->connections() > 0 && monotonic_seconds() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  expect_alive();
}

TEST_F(LimitsTest, BodiesShareABudget) {
  ServerOptions options;
  options.limits.total_body_bytes = 1 << 20;
  start(std::move(options));
  RawSocket large = connect();
  large.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000001\r\n\r\n" +
             std::string(1000000, 'x'));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(status_of(http_post("/echo", std::string(100000, 'y'))), "HTTP/1.1 503");
  large.send("x");
  EXPECT_TRUE(large.read_until("\r\n\r\n").starts_with("HTTP/1.1 200"));
  EXPECT_EQ(status_of(http_post("/echo", std::string(100000, 'y'))), "HTTP/1.1 200");
}

TEST_F(LimitsTest, StrangersAreRefusedBeforeTheirBody) {
  ServerOptions options;
  options.admit = [](const Request& request) -> std::optional<Refusal> {
    if (request.headers.find("Key") != nullptr) return std::nullopt;
    return Refusal{401, {{"X-Why", "no key"}}, "{}"};
  };
  start(std::move(options));
  RawSocket socket = connect();
  socket.send(
      "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n");
  const std::string answer = socket.read_until("{}");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 401")) << answer;
  EXPECT_NE(answer.find("X-Why: no key\r\n"), std::string::npos);
  EXPECT_EQ(status_of(http_post("/echo", "body", "Key: 1\r\n")), "HTTP/1.1 200");
}

}  // namespace
}  // namespace lmdeploy
