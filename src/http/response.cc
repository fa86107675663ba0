#include "http/response.h"

#include <fmt/format.h>

#include <ctime>

#include "http/response_state.h"

namespace lmdeploy {

namespace {

constexpr size_t kCopyInto =
    16384;  // payloads up to this join the head: one buffer, one TLS record
constexpr std::string_view kChunkEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";
constexpr std::string_view kChunkEndAndLast = "\r\n0\r\n\r\n";

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (const char c : value) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  out += "\r\n";
}

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                     parts.tm_sec);
}

bool without_body(int status) { return status / 100 == 1 || status == 204 || status == 304; }

}  // namespace

const char* http_status_text(int status) {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Unknown";
  }
}

ResponseState::ResponseState(ResponseForm form, const ErrorBody& error_body,
                             std::function<void()> wake)
    : form_(form), error_body_(&error_body), wake_(std::move(wake)) {}

void ResponseState::add_header(std::string_view name, std::string_view value) {
  std::lock_guard lock(mutex_);
  if (phase_ == Phase::kOpen) append_header(extra_headers_, name, value);
}

std::string ResponseState::make_head(int status, std::string_view content_type,
                                     std::optional<size_t> length) {
  status_.store(status, std::memory_order_relaxed);
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", status, http_status_text(status), http_date());
  if (!content_type.empty()) append_header(head, "Content-Type", content_type);
  if (length && !without_body(status)) head += fmt::format("Content-Length: {}\r\n", *length);
  if (!length && form_.http11) head += "Transfer-Encoding: chunked\r\n";
  if (!form_.keep_alive) head += "Connection: close\r\n";
  head += extra_headers_;
  head += "\r\n";
  return head;
}

void ResponseState::wake_locked() {
  if (woken_ || !wake_) return;
  woken_ = true;
  wake_();
}

// Wakes in any case: the connection may be stuck in a write.
void ResponseState::break_locked() {
  broken_.store(true, std::memory_order_release);
  if (wake_) wake_();
}

void ResponseState::send(int status, std::string_view content_type, std::string body) {
  std::lock_guard lock(mutex_);
  send_locked(status, content_type, std::move(body));
}

void ResponseState::send_locked(int status, std::string_view content_type, std::string body) {
  if (phase_ != Phase::kOpen || closed()) return;
  head_ = make_head(status, content_type, body.size());
  if (!form_.head && !without_body(status)) payload_ = std::move(body);
  pending_bytes_.fetch_add(head_.size() + payload_.size(), std::memory_order_relaxed);
  phase_ = Phase::kDone;
  wake_locked();
}

void ResponseState::send_error(int status, std::string_view message) {
  std::lock_guard lock(mutex_);
  if (closed() || error_body_ == nullptr) return;
  send_locked(status, "application/json", (*error_body_)(status, message));
}

void ResponseState::start_stream(int status, std::string_view content_type) {
  std::lock_guard lock(mutex_);
  if (phase_ != Phase::kOpen || closed()) return;
  head_ = make_head(status, content_type, std::nullopt);
  pending_bytes_.fetch_add(head_.size(), std::memory_order_relaxed);
  phase_ = form_.head ? Phase::kDone : Phase::kStreaming;
  chunked_ = form_.http11 && !form_.head;
  wake_locked();
}

void ResponseState::write(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  if (phase_ != Phase::kStreaming || closed() || broken_ || bytes.empty()) return;
  payload_.append(bytes);
  const size_t pending = pending_bytes_.fetch_add(bytes.size(), std::memory_order_relaxed);
  if (pending > form_.max_stream_backlog) {  // what was there before: one large write is no stall
    break_locked();
  } else {
    wake_locked();
  }
}

void ResponseState::finish() {
  std::lock_guard lock(mutex_);
  if (phase_ != Phase::kStreaming || closed()) return;
  phase_ = Phase::kDone;
  wake_locked();
}

void ResponseState::abandon() {
  std::lock_guard lock(mutex_);
  if (phase_ == Phase::kDone || closed()) return;
  if (phase_ == Phase::kOpen && error_body_ != nullptr) {
    send_locked(500, "application/json",
                (*error_body_)(500, "the server gave up on this request without an answer"));
  } else {
    break_locked();
  }
}

void ResponseState::on_close(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (!closed()) {
      if (!last_taken_) on_close_ = std::move(callback);
      return;
    }
  }
  callback();
}

std::optional<ResponseState::Batch> ResponseState::take() {
  std::lock_guard lock(mutex_);
  woken_ = false;
  if (broken_) return Batch{.broken = true};
  const bool last = phase_ == Phase::kDone && !last_taken_;
  if (head_.empty() && payload_.empty() && !last) return std::nullopt;
  Batch batch{.head = std::move(head_), .payload = std::move(payload_), .last = last};
  head_.clear();
  payload_.clear();
  last_taken_ = last_taken_ || last;
  if (chunked_) {
    const size_t before = batch.size();
    if (!batch.payload.empty()) batch.head += fmt::format("{:x}\r\n", batch.payload.size());
    batch.tail = batch.payload.empty() ? (last ? kLastChunk : std::string_view())
                                       : (last ? kChunkEndAndLast : kChunkEnd);
    pending_bytes_.fetch_add(batch.size() - before, std::memory_order_relaxed);
  }
  if (batch.payload.size() <= kCopyInto) {
    batch.head.append(batch.payload).append(batch.tail);
    batch.payload.clear();
    batch.tail = {};
  }
  return batch;
}

void ResponseState::detach(bool complete) {
  std::function<void()> callback;
  {
    std::lock_guard lock(mutex_);
    wake_ = nullptr;
    error_body_ = nullptr;
    callback = std::move(on_close_);
    on_close_ = nullptr;
    if (!complete) gone_.store(true, std::memory_order_release);
    phase_ = Phase::kDone;
    last_taken_ = true;
    payload_.clear();
    pending_bytes_.store(0, std::memory_order_relaxed);
  }
  if (!complete && callback) callback();
}

struct ResponseWriter::Abandon {
  std::shared_ptr<ResponseState> state;
  ~Abandon() { state->abandon(); }
};

ResponseWriter::ResponseWriter(std::shared_ptr<ResponseState> state)
    : state_(std::make_shared<Abandon>(std::move(state))) {}

void ResponseWriter::add_header(std::string_view name, std::string_view value) const {
  state_->state->add_header(name, value);
}
void ResponseWriter::send(int status, std::string_view content_type, std::string body) const {
  state_->state->send(status, content_type, std::move(body));
}
void ResponseWriter::send_error(int status, std::string_view message) const {
  state_->state->send_error(status, message);
}
void ResponseWriter::start_stream(int status, std::string_view content_type) const {
  state_->state->start_stream(status, content_type);
}
void ResponseWriter::write(std::string_view bytes) const { state_->state->write(bytes); }
void ResponseWriter::finish() const { state_->state->finish(); }
void ResponseWriter::on_close(std::function<void()> callback) const {
  state_->state->on_close(std::move(callback));
}
bool ResponseWriter::closed() const { return state_->state->closed(); }

}  // namespace lmdeploy
