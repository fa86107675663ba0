// ResponseState: the answer of one request between its producers (any thread) and the connection
// that writes it (one io thread). Internal to http/.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "http/request.h"

namespace lmdeploy {

using ErrorBody = std::function<std::string(int status, std::string_view message)>;

// What the request and the connection decide about the answer's form.
struct ResponseForm {
  bool http11 = true;      // chunked streams; HTTP/1.0 ones end by closing, so never keep_alive
  bool keep_alive = true;  // says "Connection: close" otherwise
  bool head = false;       // no body
  size_t max_stream_backlog = size_t{1} << 20;  // a stream with more unsent bytes is given up
};

class ResponseState {
 public:
  // `wake` runs under the state's lock whenever there may be something to take(); `error_body`
  // outlives the state's attachment to its connection.
  ResponseState(ResponseForm form, const ErrorBody& error_body, std::function<void()> wake);

  // Producer side; see ResponseWriter.
  void add_header(std::string_view name, std::string_view value);
  void send(int status, std::string_view content_type, std::string body);
  void send_error(int status, std::string_view message);
  void start_stream(int status, std::string_view content_type);
  void write(std::string_view bytes);
  void finish();
  void abandon();
  void on_close(std::function<void()> callback);
  bool closed() const { return gone_.load(std::memory_order_acquire); }

  // Connection side. What the socket writes next, framing included.
  struct Batch {
    std::string head;     // status line and headers, chunk size line; small payloads as well
    std::string payload;  // large payloads, not copied
    std::string_view tail;
    bool last = false;    // the answer ends here
    bool broken = false;  // it cannot be completed: close the connection
    size_t size() const { return head.size() + payload.size() + tail.size(); }
  };
  // Nothing to write: nullopt.
  std::optional<Batch> take();
  void written(size_t bytes) { pending_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  // The connection will write no more. Fires on_close unless the answer was complete.
  void detach(bool complete);
  // The stream was given up: its reader stalls, or its producer went without finish().
  bool broken() const { return broken_.load(std::memory_order_acquire); }
  // 0 until there is one.
  int status() const { return status_.load(std::memory_order_relaxed); }

 private:
  enum class Phase { kOpen, kStreaming, kDone };
  std::string make_head(int status, std::string_view content_type, std::optional<size_t> length);
  void send_locked(int status, std::string_view content_type, std::string body);
  void wake_locked();
  void break_locked();

  const ResponseForm form_;
  std::mutex mutex_;
  const ErrorBody* error_body_;  // null once detached
  std::function<void()> wake_;
  std::function<void()> on_close_;
  Phase phase_ = Phase::kOpen;
  bool woken_ = false;
  bool chunked_ = false;
  bool last_taken_ = false;
  std::string extra_headers_;
  std::string head_;
  std::string payload_;
  std::atomic<bool> gone_{false};
  std::atomic<bool> broken_{false};
  std::atomic<size_t> pending_bytes_{0};  // accepted, and not yet taken by the socket
  std::atomic<int> status_{0};
};

}  // namespace lmdeploy
