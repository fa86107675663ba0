// HttpServer: HTTP/1.1 over TCP or TLS. Knows no routes and no language model: it parses requests
// within limits, hands them to one handler, and writes what ResponseWriters give it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "http/cors.h"
#include "http/router.h"

namespace lmdeploy {

struct HttpLimits {
  size_t header_bytes = 16384;                    // request line and headers; more: 431
  size_t target_bytes = 8192;                     // request target; more: 414
  size_t header_count = 100;                      // more: 431
  size_t body_bytes = size_t{32} << 20;           // of one request; more: 413
  size_t total_body_bytes = size_t{1} << 30;      // of all requests read or handled; more: 503
  size_t pipelined_bytes = 65536;                 // read ahead while an answer is under way
  size_t stream_backlog_bytes = size_t{1} << 20;  // unsent bytes of a stream; more: closed
  int connections = 4096;                         // more: 503
  double header_seconds = 15;  // from a request's first byte to its headers' end; more: 408
  double body_seconds = 30;    // for each 64 KiB of body; more: 408
  double idle_seconds = 75;    // keep-alive without a request
  double write_seconds = 30;   // a socket that takes no byte
};

// What an access log wants to know of a request that has ended.
struct AccessRecord {
  std::string method;
  std::string target;
  std::string peer;
  int status = 0;         // 0: the client left before there was one
  size_t bytes_sent = 0;  // framing included
  double seconds = 0;     // from the complete request to the last byte
  bool complete = false;  // false: the connection ended first
};

// Why a request is turned away before its body.
struct Refusal {
  int status = 401;
  HttpHeaders headers;
  std::string body;  // JSON
};

struct ServerOptions {
  std::string host = "0.0.0.0";  // an address, or a name: every address of it
  int port = 0;                  // 0: any free one
  int io_threads = 1;
  std::string tls_certificate_file;  // both empty: plain HTTP
  std::string tls_key_file;
  HttpLimits limits;
  CorsOptions cors;
  // Asked when a request's headers are complete and its body may still be coming; a reason refuses
  // it there, so that a stranger's body is never read. On io threads; absent: everything is
  // admitted.
  std::function<std::optional<Refusal>(const Request& headers_only)> admit;
  // Body of an error that http/ finds itself (a bad request, a limit), as JSON.
  std::function<std::string(int status, std::string_view message)> error_body;
  // Called on io threads.
  std::function<void(const AccessRecord&)> on_access;
};

class HttpServer {
 public:
  // Listens and starts the io threads. `handler` runs on them; see Handler.
  static Result<std::unique_ptr<HttpServer>> start(ServerOptions options, Handler handler);
  // stop(0).
  ~HttpServer();

  int port() const;
  // Open connections.
  int connections() const;

  // Stops accepting, closes idle connections, and waits `seconds` for the answers under way. True
  // when there is no connection left. May be called again, to wait longer.
  bool drain(double seconds);
  // drain(), then closes what is left (firing on_close) and joins the io threads. Further calls do
  // nothing. Neither is for an io thread.
  bool stop(double drain_seconds);

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Raises this process's soft limit of open files to its hard one, up to `wanted`; returns the
// limit.
int raise_open_file_limit(int wanted);

}  // namespace lmdeploy
