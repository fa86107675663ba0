// HttpClient: a blocking HTTP/1.1 client for one server, with timeouts. Keeps its connection.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/request.h"

namespace lmdeploy {

struct HttpClientOptions {
  std::string host = "127.0.0.1";
  int port = 80;
  bool tls = false;
  // PEM file that the server's certificate must chain to; empty: the system's trust store.
  std::string tls_ca_file;
  double connect_seconds = 10;
  double read_seconds = 60;  // without a byte
  size_t max_body_bytes = size_t{256} << 20;
};

struct HttpReply {
  int status = 0;
  HttpHeaders headers;
  std::string body;  // empty when the body went to on_data
};

// Not thread-safe. Every failure (no connection, timeout, broken answer) is a Status.
class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options);
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;

  Result<HttpReply> get(std::string_view target, const HttpHeaders& headers = {});
  Result<HttpReply> post(std::string_view target, std::string_view json_body,
                         const HttpHeaders& headers = {});
  // `on_data` gets the body as it arrives; false from it closes the connection and ends the call
  // with kCancelled.
  Result<HttpReply> request(std::string_view method, std::string_view target,
                            std::string_view content_type, std::string_view body,
                            const HttpHeaders& headers,
                            const std::function<bool(std::string_view)>& on_data = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lmdeploy
