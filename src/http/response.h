// ResponseWriter: the handle through which a handler answers one request.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "http/request.h"

namespace lmdeploy {

class ResponseState;

// Cheap to copy; every method may be called from any thread and none blocks. An answer is either
// one send(), or start_stream(), any number of write() and finish(). Calls that do not fit (a
// second send, a write after finish, anything after the client has gone) do nothing. When the last
// copy is dropped before the answer is complete, the client gets a 500, or a broken stream, and
// never a hang.
class ResponseWriter {
 public:
  explicit ResponseWriter(std::shared_ptr<ResponseState> state);

  // Adds a header to the answer; before send() or start_stream().
  void add_header(std::string_view name, std::string_view value) const;

  // The whole answer. An empty content type sends none.
  void send(int status, std::string_view content_type, std::string body) const;
  void send_json(int status, std::string body) const {
    send(status, "application/json", std::move(body));
  }
  // An error in the server's error shape (ServerOptions::error_body).
  void send_error(int status, std::string_view message) const;

  // A body of unknown length: chunked (HTTP/1.1) or until close (1.0). Writes between two socket
  // writes leave in one piece.
  void start_stream(int status, std::string_view content_type) const;
  void write(std::string_view bytes) const;
  void finish() const;

  // Called once, on an io thread, when the client went away (or the server closed the connection:
  // timeouts, a reader that stalls, shutdown) before the answer was complete; at once, on the
  // calling thread, when that has happened already. Dropped after a complete answer. It must not
  // hold a copy of this writer, or dropping the others would go unnoticed.
  void on_close(std::function<void()> callback) const;
  bool closed() const;

 private:
  struct Abandon;  // its destructor is the last copy's end
  std::shared_ptr<Abandon> state_;
};

// "OK" of 200; "Unknown" for a code without a name.
const char* http_status_text(int status);

}  // namespace lmdeploy
