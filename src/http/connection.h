// Connection: one client, from accept to close, on one io thread. Internal to http/.
//
// Two coroutines share it: `read_input` keeps one read posted at all times, so that a client that
// leaves is noticed while an answer is under way; `serve` parses requests from that input one after
// another and writes the answers. IoThread's tick enforces the deadline that they set.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "http/response_state.h"
#include "http/server.h"
#include "http/transport.h"

namespace lmdeploy {

class IoThread;
class RequestParser;

// What the connections of a server share. Outlives them.
struct ConnectionShared {
  const ServerOptions& options;
  const Handler& handler;
  // Held by requests that are being read or handled; these may outlive the server.
  std::shared_ptr<std::atomic<size_t>> body_bytes = std::make_shared<std::atomic<size_t>>(0);
  std::atomic<int> connections{0};
};

// A coroutine's "something changed", kept until it is waited for. One waiter, one thread.
class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor) : timer_(std::move(executor)) {}
  void notify();
  boost::asio::awaitable<void> wait();

 private:
  boost::asio::steady_timer timer_;
  bool set_ = false;
  bool waiting_ = false;
};

// Every method runs on the connection's io thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // `over_limit`: answers its first request with 503 and closes.
  Connection(IoThread& thread, ConnectionShared& shared, std::unique_ptr<Transport> transport,
             std::string peer, bool over_limit);
  ~Connection();

  void start();
  // New output may be waiting in the answer under way.
  void output_ready();
  // Acts on a passed deadline, and on a hang-up that the paused reader cannot see.
  void tick(double now);
  // Closes when idle; otherwise the answer under way is the last.
  void drain();
  void abort();

 private:
  using Task = boost::asio::awaitable<void>;
  enum class Stage { kHandshake, kIdle, kReading, kAnswering, kClosing };

  Task read_input();
  Task serve();
  Task serve_requests();
  boost::asio::awaitable<bool> read_request(RequestParser& parser);
  boost::asio::awaitable<bool> headers_done(RequestParser& parser);
  bool reserve_body(size_t bytes);
  Task answer(std::unique_ptr<RequestParser> parser);
  boost::asio::awaitable<bool> write_answer(ResponseState& state);
  Task refuse(RequestParser& parser, Refusal refusal);
  Task refuse(RequestParser& parser, int status, std::string message);
  boost::asio::awaitable<bool> write_all(const ResponseState::Batch& batch);
  Task linger();

  void set_deadline(double seconds);
  void release_body();
  std::shared_ptr<void> body_lease();
  void report(const AccessRecord& record) const;
  void call_handler(Request request, const std::shared_ptr<ResponseState>& state);

  IoThread& thread_;
  ConnectionShared& shared_;
  std::unique_ptr<Transport> transport_;
  const std::string peer_;
  const bool over_limit_;
  Signal session_;  // input, output, end of input or close
  Signal reader_;   // room in the input, or close
  std::string input_;
  ResponseState* answer_ = nullptr;  // the one under way
  Stage stage_ = Stage::kHandshake;
  double deadline_ = 0;
  size_t reserved_body_ = 0;
  size_t bytes_sent_ = 0;
  bool input_ended_ = false;
  bool reader_paused_ = false;
  bool keep_alive_ = true;
  bool timed_out_ = false;
  bool closed_ = false;
};

}  // namespace lmdeploy
