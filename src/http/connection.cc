#include "http/connection.h"

#include <poll.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "http/io_thread.h"
#include "http/request_parser.h"

namespace lmdeploy {

namespace asio = boost::asio;

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kLingerSeconds = 1.0;
constexpr size_t kSmallRead = 1024;   // posted while nothing arrives: what idle streams hold
constexpr size_t kLargeRead = 16384;  // after reads that were filled
constexpr size_t kBodyStep = 65536;   // bytes that earn another body_seconds

bool hung_up(int descriptor) {
  pollfd entry{.fd = descriptor, .events = POLLRDHUP, .revents = 0};
  return ::poll(&entry, 1, 0) == 1 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace

void Signal::notify() {
  set_ = true;
  if (waiting_) timer_.cancel();
}

asio::awaitable<void> Signal::wait() {
  if (!set_) {
    waiting_ = true;
    timer_.expires_at(asio::steady_timer::time_point::max());
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    waiting_ = false;
  }
  set_ = false;
}

Connection::Connection(IoThread& thread, ConnectionShared& shared,
                       std::unique_ptr<Transport> transport, std::string peer, bool over_limit)
    : thread_(thread),
      shared_(shared),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      over_limit_(over_limit),
      session_(thread.context().get_executor()),
      reader_(thread.context().get_executor()) {
  thread_.add(this);
}

Connection::~Connection() {
  release_body();
  thread_.remove(this);
  shared_.connections.fetch_sub(1, std::memory_order_release);
}

void Connection::start() {
  asio::co_spawn(
      thread_.context(), [self = shared_from_this()]() { return self->serve(); }, asio::detached);
}

void Connection::set_deadline(double seconds) { deadline_ = monotonic_seconds() + seconds; }

void Connection::output_ready() {
  if (answer_ != nullptr && answer_->broken()) abort();
  session_.notify();
}

void Connection::tick(double now) {
  if (closed_) return;
  if (now > deadline_) {
    if (stage_ != Stage::kReading || timed_out_) return abort();
    timed_out_ = true;
    session_.notify();
  }
  if (stage_ == Stage::kAnswering && reader_paused_ && hung_up(transport_->descriptor())) {
    input_ended_ = true;
    session_.notify();
  }
}

void Connection::drain() {
  keep_alive_ = false;
  if (stage_ == Stage::kHandshake || (stage_ == Stage::kIdle && input_.empty())) abort();
}

void Connection::abort() {
  if (closed_) return;
  closed_ = true;
  transport_->close();
  session_.notify();
  reader_.notify();
}

Connection::Task Connection::serve() {
  set_deadline(shared_.options.limits.header_seconds);
  if (co_await transport_->handshake() && !closed_) {
    stage_ = Stage::kIdle;
    asio::co_spawn(
        thread_.context(), [self = shared_from_this()]() { return self->read_input(); },
        asio::detached);
    co_await serve_requests();
    co_await linger();
  }
  abort();
}

Connection::Task Connection::read_input() {
  const HttpLimits& limits = shared_.options.limits;
  const size_t most = std::max(limits.pipelined_bytes, 2 * limits.header_bytes + kLargeRead);
  std::string scratch(kSmallRead, '\0');
  while (!closed_) {
    if (input_.size() >= most) {
      reader_paused_ = true;
      co_await reader_.wait();
      reader_paused_ = false;
      continue;
    }
    const size_t bytes = co_await transport_->read_some(scratch.data(), scratch.size());
    if (bytes == 0) break;
    if (stage_ == Stage::kClosing) continue;  // lingering: thrown away
    input_.append(scratch, 0, bytes);
    session_.notify();
    const size_t next = bytes == scratch.size() ? kLargeRead : kSmallRead;
    if (scratch.size() != next) scratch = std::string(next, '\0');
  }
  input_ended_ = true;
  session_.notify();
}

Connection::Task Connection::serve_requests() {
  while (keep_alive_ && !closed_) {
    auto parser = std::make_unique<RequestParser>(shared_.options.limits);
    if (!co_await read_request(*parser)) break;
    co_await answer(std::move(parser));
  }
}

asio::awaitable<bool> Connection::read_request(RequestParser& parser) {
  stage_ = Stage::kIdle;
  set_deadline(shared_.options.limits.idle_seconds);
  size_t body_mark = 0;
  while (!closed_) {
    if (stage_ == Stage::kIdle && !input_.empty()) {
      input_.erase(0,
                   input_.find_first_not_of("\r\n"));  // a blank line between requests is allowed
      if (!input_.empty()) {
        stage_ = Stage::kReading;
        set_deadline(shared_.options.limits.header_seconds);
      }
    }
    if (stage_ == Stage::kReading) {
      const bool had_headers = parser.state() != RequestParser::State::kHeader;
      input_.erase(0, parser.feed(input_));
      if (reader_paused_) reader_.notify();
      if (parser.state() == RequestParser::State::kFailed) {
        co_await refuse(parser, parser.error_status(), parser.error_message());
        co_return false;
      }
      if (parser.state() != RequestParser::State::kHeader) {
        if (!had_headers && !co_await headers_done(parser)) co_return false;
        if (!reserve_body(parser.body_bytes())) {
          co_await refuse(parser, 503,
                          "the server is busy reading other large requests; try again later");
          co_return false;
        }
        if (parser.state() == RequestParser::State::kDone) co_return true;
        if (!had_headers || parser.body_bytes() - body_mark >= kBodyStep) {
          body_mark = parser.body_bytes();
          set_deadline(shared_.options.limits.body_seconds);
        }
      }
    }
    if (timed_out_) {
      co_await refuse(parser, 408, "the request did not arrive in time");
      co_return false;
    }
    if (input_ended_) co_return false;
    co_await session_.wait();
  }
  co_return false;
}

asio::awaitable<bool> Connection::headers_done(RequestParser& parser) {
  if (over_limit_) {
    co_await refuse(parser, 503, "the server has as many connections as it takes; try again later");
    co_return false;
  }
  if (shared_.options.admit) {
    if (auto refusal = shared_.options.admit(parser.headers_only())) {
      co_await refuse(parser, std::move(*refusal));
      co_return false;
    }
  }
  if (parser.state() == RequestParser::State::kBody && parser.expects_continue()) {
    const ResponseState::Batch go_on{.head = "HTTP/1.1 100 Continue\r\n\r\n"};
    co_return co_await write_all(go_on);
  }
  co_return true;
}

bool Connection::reserve_body(size_t bytes) {
  const size_t more = bytes - reserved_body_;
  if (more == 0) return true;
  reserved_body_ = bytes;
  return shared_.body_bytes->fetch_add(more) + more <= shared_.options.limits.total_body_bytes;
}

void Connection::release_body() {
  shared_.body_bytes->fetch_sub(reserved_body_);
  reserved_body_ = 0;
}

// Hands the reservation over to the request.
std::shared_ptr<void> Connection::body_lease() {
  const size_t bytes = std::exchange(reserved_body_, 0);
  if (bytes == 0) return nullptr;
  return {nullptr, [counter = shared_.body_bytes, bytes](void*) { counter->fetch_sub(bytes); }};
}

// Answers without a handler and ends the connection, since its body may never be read.
Connection::Task Connection::refuse(RequestParser& parser, Refusal refusal) {
  keep_alive_ = false;
  stage_ = Stage::kAnswering;
  release_body();
  AccessRecord record{.method = "-", .target = "-", .peer = peer_, .status = refusal.status};
  const bool has_headers = parser.has_headers();
  ResponseState state({.keep_alive = false, .head = has_headers && parser.is_head()},
                      shared_.options.error_body, [] {});
  if (has_headers) {
    const Request request = parser.headers_only();
    record.method = request.method;
    record.target = request.target;
    for (const auto& [name, value] : cors_headers(shared_.options.cors, request))
      state.add_header(name, value);
  }
  for (const auto& [name, value] : refusal.headers) state.add_header(name, value);
  state.send(refusal.status, "application/json", std::move(refusal.body));
  const double begin = monotonic_seconds();
  bytes_sent_ = 0;
  record.complete = co_await write_all(*state.take());
  record.bytes_sent = bytes_sent_;
  record.seconds = monotonic_seconds() - begin;
  report(record);
}

Connection::Task Connection::refuse(RequestParser& parser, int status, std::string message) {
  std::string body = shared_.options.error_body(status, message);
  Refusal refusal;
  refusal.status = status;
  refusal.body = std::move(body);
  return refuse(parser, std::move(refusal));
}

Connection::Task Connection::answer(std::unique_ptr<RequestParser> parser) {
  keep_alive_ = keep_alive_ && parser->http11() && parser->keep_alive();
  const ResponseForm form{.http11 = parser->http11(),
                          .keep_alive = keep_alive_,
                          .head = parser->is_head(),
                          .max_stream_backlog = shared_.options.limits.stream_backlog_bytes};
  Request request = parser->take();
  parser.reset();
  request.body_lease = body_lease();
  if (input_.empty()) input_ = std::string();
  request.peer = peer_;
  AccessRecord record{.method = request.method, .target = request.target, .peer = peer_};
  const double begin = request.received_at;

  stage_ = Stage::kAnswering;
  deadline_ = kNever;
  bytes_sent_ = 0;
  const auto state = std::make_shared<ResponseState>(form, shared_.options.error_body,
                                                     [this] { thread_.wake(shared_from_this()); });
  answer_ = state.get();
  call_handler(std::move(request), state);
  record.complete = co_await write_answer(*state);
  answer_ = nullptr;
  state->detach(record.complete);
  if (!record.complete) abort();
  record.status = state->status();
  record.bytes_sent = bytes_sent_;
  record.seconds = monotonic_seconds() - begin;
  report(record);
}

void Connection::call_handler(Request request, const std::shared_ptr<ResponseState>& state) {
  const ResponseWriter writer(state);
  const bool preflight = is_cors_preflight(request);
  const HttpHeaders headers = cors_headers(shared_.options.cors, request);
  for (const HttpHeader& header : headers) writer.add_header(header.name, header.value);
  if (preflight) {
    if (!headers.empty()) return writer.send(204, "", "");
    return writer.send_error(400, "this origin is not in the server's --allow-origins");
  }
  try {
    shared_.handler(std::move(request), writer);
  } catch (const std::exception& exception) {  // out of memory, a library's surprise
    writer.send_error(500, exception.what());
  }
}

// True when the whole answer has been written.
asio::awaitable<bool> Connection::write_answer(ResponseState& state) {
  while (true) {
    const auto batch = state.take();
    if (!batch) {
      if (input_ended_ || closed_) co_return false;
      co_await session_.wait();
      continue;
    }
    if (batch->broken || !co_await write_all(*batch)) co_return false;
    state.written(batch->size());
    if (batch->last) co_return true;
    if (input_ended_) co_return false;
  }
}

asio::awaitable<bool> Connection::write_all(const ResponseState::Batch& batch) {
  std::array<asio::const_buffer, 3> buffers{asio::buffer(batch.head), asio::buffer(batch.payload),
                                            asio::buffer(batch.tail)};
  size_t left = batch.size();
  while (left > 0) {
    set_deadline(shared_.options.limits.write_seconds);
    size_t sent = co_await transport_->write_some(buffers);
    if (sent == 0 || closed_) co_return false;
    left -= sent;
    bytes_sent_ += sent;
    for (asio::const_buffer& buffer : buffers) {
      const size_t step = std::min(sent, buffer.size());
      buffer += step;
      sent -= step;
    }
  }
  if (stage_ == Stage::kAnswering) deadline_ = kNever;
  co_return true;
}

// Lets the client read the answer before the close: closing with unread input would reset it away.
Connection::Task Connection::linger() {
  if (closed_) co_return;
  stage_ = Stage::kClosing;
  input_.clear();
  if (reader_paused_) reader_.notify();
  set_deadline(kLingerSeconds);
  co_await transport_->shutdown_send();
  while (!input_ended_ && !closed_) co_await session_.wait();
}

void Connection::report(const AccessRecord& record) const {
  if (shared_.options.on_access) shared_.options.on_access(record);
}

}  // namespace lmdeploy
