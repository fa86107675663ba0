#include "http/request_parser.h"

#include <fmt/format.h>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/clock.h"

namespace lmdeploy {

namespace http = boost::beast::http;

struct RequestParser::Impl {
  http::request_parser<http::string_body> parser;
  const http::request<http::string_body>& message() const { return parser.get(); }
};

namespace {

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Path and query of a target, also of one in absolute form ("http://host/path", RFC 9112 3.2.2).
std::string origin_form(std::string_view target) {
  const size_t colon = target.find("://");
  const std::string_view scheme = target.substr(0, colon == target.npos ? 0 : colon);
  if (!equal_ignoring_case(scheme, "http") && !equal_ignoring_case(scheme, "https")) {
    return std::string(target);
  }
  const size_t path = target.find_first_of("/?", colon + 3);
  if (path == target.npos) return "/";
  return (target[path] == '?' ? "/" : "") + std::string(target.substr(path));
}

}  // namespace

RequestParser::RequestParser(const HttpLimits& limits)
    : limits_(limits), impl_(std::make_unique<Impl>()) {
  impl_->parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
  impl_->parser.body_limit(limits.body_bytes);
}

RequestParser::~RequestParser() = default;

size_t RequestParser::feed(std::string_view bytes) {
  size_t taken = 0;
  while ((state_ == State::kHeader || state_ == State::kBody) && taken < bytes.size()) {
    const std::string_view rest = bytes.substr(taken);
    boost::system::error_code error;
    const size_t used = impl_->parser.put(boost::asio::buffer(rest.data(), rest.size()), error);
    taken += used;
    started_ = started_ || used > 0;
    if (error && error != http::error::need_more) {
      fail_parsing(rest, error.value(), error.message());
      break;
    }
    if (state_ == State::kHeader && impl_->parser.is_header_done()) check_header();
    if (state_ == State::kFailed) break;
    if (impl_->parser.is_done()) {
      state_ = State::kDone;
    } else if (error || used == 0) {
      break;
    }
  }
  // Chunk headers and trailers are taken whole as well: bound what can wait.
  if (state_ == State::kBody && bytes.size() - taken > limits_.header_bytes) {
    fail(400, "a chunk header or trailer of the request body is too long");
  }
  return taken;
}

void RequestParser::fail(int status, std::string message) {
  state_ = State::kFailed;
  error_status_ = status;
  error_message_ = std::move(message);
}

void RequestParser::fail_parsing(std::string_view bytes, int kind, const std::string& reason) {
  switch (static_cast<http::error>(kind)) {
    case http::error::body_limit:
      return fail(413, fmt::format("the request body is larger than {} bytes", limits_.body_bytes));
    case http::error::header_limit:
      if (!started_ && bytes.find('\n') == std::string_view::npos) {
        return fail(
            414, fmt::format("the request target is longer than {} bytes", limits_.target_bytes));
      }
      return fail(
          431, fmt::format("the request headers are larger than {} bytes", limits_.header_bytes));
    default: return fail(400, fmt::format("this is not a valid HTTP/1.1 request: {}", reason));
  }
}

void RequestParser::check_header() {
  state_ = State::kBody;
  const auto& message = impl_->message();
  if (message.target().size() > limits_.target_bytes) {
    return fail(414, fmt::format("the request target has {} bytes; at most {} are accepted",
                                 message.target().size(), limits_.target_bytes));
  }
  size_t count = 0;
  for ([[maybe_unused]] const auto& field : message) ++count;
  if (count > limits_.header_count) {
    return fail(431, fmt::format("the request has {} headers; at most {} are accepted", count,
                                 limits_.header_count));
  }
  if (message.version() >= 11 && message.find(http::field::host) == message.end()) {
    return fail(400, "an HTTP/1.1 request needs a Host header");
  }
}

bool RequestParser::has_headers() const { return impl_->parser.is_header_done(); }
bool RequestParser::http11() const { return impl_->message().version() >= 11; }
bool RequestParser::keep_alive() const { return impl_->parser.keep_alive(); }
bool RequestParser::is_head() const { return impl_->message().method() == http::verb::head; }
bool RequestParser::expects_continue() const {
  const auto field = impl_->message().find(http::field::expect);
  return field != impl_->message().end() &&
         equal_ignoring_case(view(field->value()), "100-continue");
}
size_t RequestParser::body_bytes() const { return impl_->message().body().size(); }

Request RequestParser::headers_only() const {
  const auto& message = impl_->message();
  Request request;
  request.method = std::string(view(message.method_string()));
  request.target = origin_form(view(message.target()));
  for (const auto& field : message) {
    request.headers.push_back(
        {std::string(view(field.name_string())), std::string(view(field.value()))});
  }
  return request;
}

Request RequestParser::take() {
  Request request = headers_only();
  request.body = std::move(impl_->parser.get().body());
  request.received_at = monotonic_seconds();
  return request;
}

}  // namespace lmdeploy
