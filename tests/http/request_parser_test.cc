#include "http/request_parser.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/random.h"
#include "tests/http/server_fixture.h"

namespace lmdeploy {
namespace {

const std::string kSamples[] = {
    "GET /v1/models HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    "POST /v1/completions?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n{\"a\": true}",
    "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: "
    "T\r\n\r\n4;e=\"q\"\r\n{\"a\""
    "\r\n3\r\n:1}\r\n0\r\nT: v\r\n\r\n",
    "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n",
};

// Feeds `bytes` in pieces of 1..max_piece as a connection does.
RequestParser::State feed_all(RequestParser& parser, std::string_view bytes, uint64_t seed,
                              size_t max_piece) {
  std::string input;
  for (size_t at = 0, step; at < bytes.size(); at += step) {
    step = std::min(bytes.size() - at, 1 + hash_random(seed, at) % max_piece);
    input.append(bytes.substr(at, step));
    input.erase(0, parser.feed(input));
    if (parser.state() >= RequestParser::State::kDone) break;
  }
  return parser.state();
}

TEST(RequestParser, SamplesInAnyPieces) {
  const HttpLimits limits;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const std::string& sample = kSamples[seed % 4];
    RequestParser parser(limits);
    ASSERT_EQ(feed_all(parser, sample, seed, 1 + seed / 4), RequestParser::State::kDone) << sample;
    EXPECT_EQ(parser.http11(), seed % 4 != 3);
    EXPECT_EQ(parser.expects_continue(), seed % 4 == 3);
    const Request request = parser.take();
    EXPECT_EQ(request.method, sample.substr(0, sample.find(' ')));
    EXPECT_EQ(request.body, seed % 4 == 1 ? "{\"a\": true}" : seed % 4 == 2 ? "{\"a\":1}" : "");
  }
}

TEST(RequestParser, TargetsInAbsoluteForm) {
  const std::pair<const char*, const char*> targets[] = {
      {"http://host/health", "/health"},     {"HTTPS://host:8080/a?b=http://c/d", "/a?b=http://c/d"},
      {"http://host", "/"},                  {"http://host?x=1", "/?x=1"},
      {"/path?to=http://host/", "/path?to=http://host/"}, {"ftp://host/x", "ftp://host/x"},
      {"*", "*"},
  };
  const HttpLimits limits;
  for (const auto& [given, target] : targets) {
    RequestParser parser(limits);
    parser.feed(std::string("GET ") + given + " HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_EQ(parser.state(), RequestParser::State::kDone) << given;
    EXPECT_EQ(parser.take().target, target);
  }
}

TEST(RequestParser, LeavesTheNextRequestAlone) {
  const HttpLimits limits;
  RequestParser parser(limits);
  EXPECT_EQ(parser.feed(kSamples[1] + kSamples[0]), kSamples[1].size());
  EXPECT_EQ(parser.state(), RequestParser::State::kDone);
}

// Random bytes and damaged requests: some state with a status, never a crash or endless growth.
std::string damaged(uint64_t seed) {
  std::string bytes = kSamples[seed % 4];
  const size_t edits = hash_random(seed, 1) % 6;
  for (size_t i = 0; i < edits; ++i) {
    const uint64_t draw = hash_random(seed, 10 + i);
    const size_t at = draw % bytes.size();
    switch (draw >> 32 & 3) {
      case 0: bytes[at] = static_cast<char>(draw >> 40); break;
      case 1: bytes.erase(at, 1 + (draw >> 40) % 8); break;
      case 2: bytes.insert(at, bytes.substr((draw >> 40) % bytes.size(), (draw >> 48) % 40)); break;
      default: bytes.insert(at, 1, "\r\n:; 0fF"[draw >> 40 & 7]);
    }
    if (bytes.empty()) bytes = "x";
  }
  if (seed % 16 == 0) {
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<char>(hash_random(seed, 100 + i));
  }
  return bytes;
}

TEST(RequestParser, DamagedBytes) {
  HttpLimits limits;
  limits.header_bytes = 256;
  limits.body_bytes = 64;
  int failed = 0;
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    RequestParser parser(limits);
    const auto state = feed_all(parser, damaged(seed), seed, 40);
    if (state == RequestParser::State::kFailed) {
      ++failed;
      EXPECT_GE(parser.error_status(), 400);
      EXPECT_FALSE(parser.error_message().empty());
    } else if (state == RequestParser::State::kDone) {
      EXPECT_LE(parser.take().body.size(), limits.body_bytes);
    }
  }
  EXPECT_GT(failed, 2000);
  EXPECT_LT(failed, 18000);
}

TEST_F(ServerTest, LivesThroughDamagedBytes) {
  ServerOptions options;
  options.limits.header_seconds = 1;
  options.limits.body_seconds = 1;
  start(std::move(options));
  for (uint64_t seed = 0; seed < 1500; ++seed) {
    RawSocket socket = connect();
    ASSERT_TRUE(socket.connected());
    socket.send(damaged(seed) + (seed % 3 == 0 ? damaged(seed + 7) : ""));
    if (seed % 5 == 0) socket.read_until("\r\n\r\n", 0.002);
    if (seed % 7 == 0) socket.reset();
  }
  EXPECT_EQ(client().get("/hello")->body, "hello");
}

}  // namespace
}  // namespace lmdeploy
