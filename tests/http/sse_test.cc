#include "http/sse.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "http/sse_parser.h"

namespace lmdeploy {
namespace {

TEST(Sse, WritesLines) {
  std::string out;
  append_sse_event(out, "{\"a\":1}");
  append_sse_event(out, "x\ny\r\nz\rw");
  EXPECT_EQ(out, "data: {\"a\":1}\n\ndata: x\ndata: y\ndata: z\ndata: w\n\n");
}

TEST(Sse, ParsesWhatItWritesInAnyPieces) {
  std::string stream = ": comment\n\nevent: x\r\ndata:tight\r\n\r\n";
  append_sse_event(stream, "one");
  append_sse_event(stream, "two\nlines");
  append_sse_event(stream, "");
  stream += kSseDone;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SseParser parser;
    std::vector<std::string> events;
    for (size_t at = 0, step = 0; at < stream.size(); at += step) {
      step = 1 + hash_random(seed, at) % 7;
      parser.push(std::string_view(stream).substr(at, step));
      while (auto event = parser.next()) events.push_back(*event);
    }
    EXPECT_EQ(events, (std::vector<std::string>{"tight", "one", "two\nlines", "", "[DONE]"}));
  }
}

TEST(SseParser, SaysThatAnEventGrewBeyondTheLimit) {
  SseParser parser(100);
  parser.push("data: " + std::string(90, 'x'));
  EXPECT_FALSE(parser.next());
  EXPECT_FALSE(parser.overflowed());
  parser.push(std::string(90, 'x'));
  EXPECT_FALSE(parser.next());
  EXPECT_TRUE(parser.overflowed());
}

}  // namespace
}  // namespace lmdeploy
