// RequestParser: bytes to one Request within HttpLimits. The one place where Beast's parser shows.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/request.h"
#include "http/server.h"

namespace lmdeploy {

// One per request; not thread-safe.
class RequestParser {
 public:
  explicit RequestParser(const HttpLimits& limits);  // borrows
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  enum class State { kHeader, kBody, kDone, kFailed };

  // Takes what it can from the front of `bytes` and returns how much that was. The request line,
  // the headers and each chunk header are taken whole or not at all, so bytes left over must come
  // again with more behind them.
  size_t feed(std::string_view bytes);
  State state() const { return state_; }

  // The headers are complete (they may have been refused since).
  bool has_headers() const;
  // With headers:
  bool http11() const;
  bool keep_alive() const;
  bool is_head() const;
  bool expects_continue() const;
  size_t body_bytes() const;  // received so far
  Request headers_only() const;

  // After kFailed: what to answer.
  int error_status() const { return error_status_; }
  const std::string& error_message() const { return error_message_; }

  // After kDone, once.
  Request take();

 private:
  struct Impl;
  void fail(int status, std::string message);
  void fail_parsing(std::string_view bytes, int kind, const std::string& reason);
  void check_header();

  const HttpLimits& limits_;
  std::unique_ptr<Impl> impl_;
  State state_ = State::kHeader;
  bool started_ = false;  // the request line has been taken
  int error_status_ = 0;
  std::string error_message_;
};

}  // namespace lmdeploy
