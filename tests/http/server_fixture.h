// A server on a free port of 127.0.0.1 with a few routes that tests share.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "http/client.h"
#include "http/server.h"
#include "tests/http/raw_socket.h"

namespace lmdeploy {

// A flag that one thread sets and another waits for.
class Event {
 public:
  void set() {
    std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool wait(double seconds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

inline std::string http_get(std::string_view path, std::string_view more = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n" + std::string(more) + "\r\n";
}
inline std::string http_post(std::string_view path, std::string_view body,
                             std::string_view more = "") {
  return "POST " + std::string(path) +
         " HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more) + "\r\n" + std::string(body);
}

class ServerTest : public ::testing::Test {
 protected:
  // Routes: GET /hello, POST /echo (body back), POST /hold (kept in `held`), POST /stream
  // (likewise, a stream already started).
  void start(ServerOptions options = {}) {
    options.host = "127.0.0.1";
    router_.add("GET", "/hello", [](Request, ResponseWriter response) {
      response.send(200, "text/plain", "hello");
    });
    router_.add("POST", "/echo", [](Request request, ResponseWriter response) {
      response.send(200, "text/plain", std::move(request.body));
    });
    router_.add("POST", "/hold", [this](Request, ResponseWriter response) { hold(response); });
    router_.add("POST", "/stream", [this](Request, ResponseWriter response) {
      response.start_stream(200, "text/event-stream");
      hold(response);
    });
    auto started =
        HttpServer::start(std::move(options), [this](Request request, ResponseWriter response) {
          router_.handle(std::move(request), std::move(response));
        });
    ASSERT_TRUE(started.ok()) << started.status().message();
    server_ = std::move(started).value();
  }

  // The writer of the next held request.
  std::optional<ResponseWriter> next_held(double seconds = 5) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                           [&] { return !held_.empty(); })) {
      return std::nullopt;
    }
    ResponseWriter writer = std::move(held_.front());
    held_.erase(held_.begin());
    return writer;
  }

  RawSocket connect(int receive_buffer = 0) { return RawSocket(server_->port(), receive_buffer); }
  HttpClient client() { return HttpClient({.port = server_->port(), .read_seconds = 10}); }

  void TearDown() override {
    held_.clear();
    server_.reset();
  }

  Router router_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ResponseWriter> held_;
  std::unique_ptr<HttpServer> server_;

 private:
  void hold(const ResponseWriter& response) {
    std::lock_guard lock(mutex_);
    held_.push_back(response);
    changed_.notify_all();
  }
};

}  // namespace lmdeploy
