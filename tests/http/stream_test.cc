// Streams: coalescing, clients that leave or stall, shutdown, memory.
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "http/sse.h"
#include "http/sse_parser.h"
#include "tests/http/server_fixture.h"
#include "tests/support/sanitized.h"

namespace lmdeploy {
namespace {

// The server notices within 0.2 s; a busy machine or a sanitizer may wake this test later.
constexpr double kNoticeSeconds = test::kSanitized ? 2 : 0.5;

size_t resident_bytes() {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

TEST_F(ServerTest, EventsArriveInOrderAndAreCoalesced) {
  start();
  std::thread producer([this] {
    auto writer = next_held();
    for (int i = 0; i < 20000; ++i) {
      std::string event;
      append_sse_event(event, std::to_string(i));
      writer->write(event);
    }
    writer->write(kSseDone);
    writer->finish();
  });
  SseParser parser;
  int expected = 0;
  int pieces = 0;
  bool done = false;
  HttpClient client = this->client();
  auto reply = client.request("POST", "/stream", "", "", {}, [&](std::string_view data) {
    ++pieces;
    parser.push(data);
    while (auto event = parser.next()) {
      if (*event == "[DONE]") {
        done = true;
      } else if (*event == std::to_string(expected)) {
        ++expected;
      }
    }
    return true;
  });
  producer.join();
  ASSERT_TRUE(reply.ok()) << reply.status().message();
  EXPECT_EQ(*reply->headers.find("Transfer-Encoding"), "chunked");
  EXPECT_EQ(expected, 20000);
  EXPECT_TRUE(done);
  EXPECT_LT(pieces, 10000);
  EXPECT_TRUE(client.get("/hello").ok());  // the connection is fit for more
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(ServerTest, ClientThatLeavesIsNoticedWhileNothingIsWritten) {
  start();
  for (const bool streamed : {false, true}) {
    for (const bool with_reset : {false, true}) {
      RawSocket socket = connect();
      socket.send(http_post(streamed ? "/stream" : "/hold", ""));
      auto writer = next_held();
      ASSERT_TRUE(writer);
      Event gone;
      writer->on_close([&gone] { gone.set(); });
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_FALSE(writer->closed());
      with_reset ? socket.reset() : socket.close();
      EXPECT_TRUE(gone.wait(kNoticeSeconds)) << streamed << with_reset;
      EXPECT_TRUE(writer->closed());
      writer->write("into the void");
      writer->finish();
      Event late;
      writer->on_close([&late] { late.set(); });
      EXPECT_TRUE(late.wait(0));
    }
  }
}

TEST_F(ServerTest, ClientThatLeavesBehindAFullPipelineIsNoticed) {
  start();
  RawSocket socket = connect();
  socket.send(http_post("/stream", ""));
  auto writer = next_held();
  ASSERT_TRUE(writer);
  Event gone;
  writer->on_close([&gone] { gone.set(); });
  std::string ahead;
  while (ahead.size() < 150000) ahead += http_get("/hello");
  socket.send(ahead);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(writer->closed());
  socket.close();
  EXPECT_TRUE(gone.wait(kNoticeSeconds));
}

TEST_F(ServerTest, CompleteAnswersDropTheirCallback) {
  start();
  RawSocket socket = connect();
  socket.send(http_post("/hold", ""));
  auto writer = next_held();
  auto token = std::make_shared<int>(1);
  bool fired = false;
  writer->on_close([token, &fired] { fired = true; });
  writer->send(200, "text/plain", "done");
  writer->send(500, "text/plain", "twice");
  EXPECT_TRUE(socket.read_until("done").starts_with("HTTP/1.1 200"));
  const double deadline = monotonic_seconds() + 2;
  while (token.use_count() > 1 && monotonic_seconds() < deadline) std::this_thread::yield();
  EXPECT_EQ(token.use_count(), 1);
  socket.close();
  EXPECT_FALSE(fired);
}

TEST_F(ServerTest, StalledReaderIsGivenUp) {
  start();
  RawSocket socket = connect(4096);
  socket.send(http_post("/stream", ""));
  auto writer = next_held();
  ASSERT_TRUE(writer);
  Event gone;
  writer->on_close([&gone] { gone.set(); });
  const std::string event(10000, 'e');
  size_t written = 0;
  while (!writer->closed() && written < (size_t{64} << 20)) {
    writer->write(event);
    written += event.size();
    if (written % 1000000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_TRUE(gone.wait(1));
  EXPECT_GT(written, size_t{1} << 20);  // the backlog that a stream may have
  EXPECT_LT(written, size_t{8} << 20);  // and what sockets hold
}

TEST_F(ServerTest, SocketThatTakesNothingTimesOut) {
  ServerOptions options;
  options.limits.write_seconds = 0.3;
  start(std::move(options));
  RawSocket socket = connect(4096);
  socket.send(http_post("/hold", ""));
  auto writer = next_held();
  Event gone;
  writer->on_close([&gone] { gone.set(); });
  writer->send(200, "text/plain", std::string(16 << 20, 'x'));
  EXPECT_TRUE(gone.wait(3));
}

TEST_F(ServerTest, StopDrainsAnswersUnderWay) {
  start();
  RawSocket idle = connect();
  idle.send(http_get("/hello"));
  idle.read_until("hello");
  RawSocket socket = connect();
  socket.send(http_post("/stream", ""));
  auto writer = next_held();
  ASSERT_TRUE(writer);
  std::thread producer([&] {
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      writer->write("tick");
    }
    writer->write("end");
    writer->finish();
  });
  const int port = server_->port();
  EXPECT_TRUE(server_->stop(5));
  producer.join();
  EXPECT_TRUE(socket.read_all().ends_with("end\r\n0\r\n\r\n"));
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_FALSE(RawSocket(port).connected());
}

TEST_F(ServerTest, StopGivesUpAtItsDeadline) {
  start();
  RawSocket socket = connect();
  socket.send(http_post("/stream", ""));
  auto writer = next_held();
  ASSERT_TRUE(writer);
  Event gone;
  writer->on_close([&gone] { gone.set(); });
  const double begin = monotonic_seconds();
  EXPECT_FALSE(server_->stop(0.2));
  EXPECT_LT(monotonic_seconds() - begin, 2);
  EXPECT_TRUE(gone.wait(0));
  server_.reset();
  writer->write("after the server");  // harmless
}

TEST_F(ServerTest, FiveHundredIdleStreamsAreSmall) {
  start();
  constexpr int kStreams = 500;
  raise_open_file_limit(4096);
  std::vector<RawSocket> sockets;
  std::vector<ResponseWriter> writers;
  sockets.reserve(kStreams);
  writers.reserve(kStreams);
  const auto open = [&] {
    sockets.push_back(connect());
    sockets.back().send(http_post("/stream", std::string(2000, 'p')));
    auto writer = next_held();
    ASSERT_TRUE(writer);
    writer->write("data: first\n\n");
    sockets.back().read_until("first");
    writers.push_back(*writer);
  };
  open();
  const size_t before = resident_bytes();
  for (int i = 1; i < kStreams; ++i) open();
  const size_t grown = resident_bytes() - before;
  RecordProperty("bytes_per_stream", static_cast<int>(grown / kStreams));
  std::printf("%zu bytes a stream\n", grown / kStreams);
  if (!test::kSanitized) {
    EXPECT_LT(grown, 10u << 20);
  }
  for (ResponseWriter& writer : writers) writer.write("data: second\n\n");
  for (RawSocket& socket : sockets) EXPECT_NE(socket.read_until("second"), "");
}

}  // namespace
}  // namespace lmdeploy
