// Request: one parsed HTTP request, whole body included.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lmdeploy {

struct HttpHeader {
  std::string name;
  std::string value;
};

// ASCII case-insensitive equality, as header names need it.
bool equal_ignoring_case(std::string_view a, std::string_view b);

class HttpHeaders : public std::vector<HttpHeader> {
 public:
  using std::vector<HttpHeader>::vector;
  // First header of that name, any case; nullptr when there is none.
  const std::string* find(std::string_view name) const;
};

struct Request {
  std::string method;  // "GET", upper case as sent
  std::string target;  // "/v1/models?x=1", not decoded
  HttpHeaders headers;
  std::string body;
  std::string peer;        // "127.0.0.1:4711"
  double received_at = 0;  // monotonic_seconds() when the request was complete
  // Keeps the body counted in HttpLimits::total_body_bytes until the request is dropped.
  std::shared_ptr<void> body_lease;

  std::string_view path() const;  // the target before '?', not decoded
};

// A piece of a path as it was meant: "a%2Fb" is "a/b".
std::string percent_decoded(std::string_view text);

}  // namespace lmdeploy
