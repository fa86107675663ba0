// Any bytes as HTTP requests on one connection, arriving in pieces whose sizes the bytes choose.
// With -fsanitize=fuzzer this is a libFuzzer target; tests/http/request_parser_test.cc runs the
// parser over damaged requests.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "http/request_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lmdeploy;
  HttpLimits limits;
  limits.header_bytes = 512;
  limits.target_bytes = 64;
  limits.header_count = 8;
  limits.body_bytes = 128;
  auto parser = std::make_unique<RequestParser>(limits);
  std::string input;
  for (size_t at = 0; at < size;) {
    const size_t step = std::min<size_t>(size - at, 1 + data[at] % 64);
    input.append(reinterpret_cast<const char*>(data) + at, step);
    at += step;
    while (true) {
      const size_t taken = parser->feed(input);
      CHECK(taken <= input.size());
      input.erase(0, taken);
      if (parser->state() != RequestParser::State::kDone) break;
      const Request request = parser->take();
      CHECK(request.body.size() <= limits.body_bytes &&
            request.target.size() <= limits.target_bytes);
      CHECK(request.headers.size() <= limits.header_count);
      parser = std::make_unique<RequestParser>(limits);
      if (input.empty()) break;
    }
    if (parser->state() == RequestParser::State::kFailed) {
      CHECK(parser->error_status() >= 400 && !parser->error_message().empty());
      return 0;
    }
    CHECK(input.size() <= limits.header_bytes + 64, "{} bytes wait", input.size());
  }
  return 0;
}
