// Status and Result: how everything that a file, a flag, a request or the environment can break
// reports it. A broken invariant of our own is a CHECK (base/check.h), never a Status.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace lmdeploy {

enum class StatusCode {
  kOk,
  kInvalidArgument,    // the caller's value is wrong; HTTP 400
  kNotFound,           // no such file, model, session; HTTP 404
  kUnsupported,        // understood, but this version does not do it; HTTP 501
  kResourceExhausted,  // queue full, out of memory; HTTP 429
  kDataLoss,           // a file is truncated, overlapping or lying
  kUnavailable,        // shutting down, device gone; HTTP 503
  kCancelled,          // by the client
  kInternal,
};

// A short lower-case name: "invalid argument".
const char* status_code_name(StatusCode code);

// Value type; OK carries no message. The message is a sentence a person can act on: what, where,
// got, expected, what to do.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

// A T or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Status status) : state_(std::move(status)) {
    CHECK(!std::get<Status>(state_).ok(), "Result made from an OK status");
  }

  bool ok() const { return std::holds_alternative<T>(state_); }
  Status status() const { return ok() ? Status() : std::get<Status>(state_); }

  T& value() & {
    CHECK(ok(), "value() of a failed Result: {}", std::get<Status>(state_).message());
    return std::get<T>(state_);
  }
  const T& value() const& {
    CHECK(ok(), "value() of a failed Result: {}", std::get<Status>(state_).message());
    return std::get<T>(state_);
  }
  T&& value() && {
    CHECK(ok(), "value() of a failed Result: {}", std::get<Status>(state_).message());
    return std::move(std::get<T>(state_));
  }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }

 private:
  std::variant<Status, T> state_;
};

template <class... Args>
Status make_status(StatusCode code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
Status invalid_argument(fmt::format_string<Args...> format, Args&&... args) {
  return make_status(StatusCode::kInvalidArgument, format, std::forward<Args>(args)...);
}
template <class... Args>
Status not_found(fmt::format_string<Args...> format, Args&&... args) {
  return make_status(StatusCode::kNotFound, format, std::forward<Args>(args)...);
}
template <class... Args>
Status unsupported(fmt::format_string<Args...> format, Args&&... args) {
  return make_status(StatusCode::kUnsupported, format, std::forward<Args>(args)...);
}
template <class... Args>
Status data_loss(fmt::format_string<Args...> format, Args&&... args) {
  return make_status(StatusCode::kDataLoss, format, std::forward<Args>(args)...);
}
template <class... Args>
Status resource_exhausted(fmt::format_string<Args...> format, Args&&... args) {
  return make_status(StatusCode::kResourceExhausted, format, std::forward<Args>(args)...);
}
template <class... Args>
Status unavailable(fmt::format_string<Args...> format, Args&&... args) {
  return make_status(StatusCode::kUnavailable, format, std::forward<Args>(args)...);
}
template <class... Args>
Status internal_error(fmt::format_string<Args...> format, Args&&... args) {
  return make_status(StatusCode::kInternal, format, std::forward<Args>(args)...);
}

}  // namespace lmdeploy

#define LMDEPLOY_CONCAT_INNER(a, b) a##b
#define LMDEPLOY_CONCAT(a, b) LMDEPLOY_CONCAT_INNER(a, b)

// Leaves the function with the Status of `expr` when it failed.
#define RETURN_IF_ERROR(expr)                      \
  do {                                             \
    ::lmdeploy::Status status_of_expr = (expr);    \
    if (!status_of_expr.ok()) return status_of_expr; \
  } while (0)

// ASSIGN_OR_RETURN(auto file, open(path)): binds the value or leaves with the Status.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_INNER(LMDEPLOY_CONCAT(result_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_INNER(result, lhs, expr) \
  auto result = (expr);                           \
  if (!result.ok()) return result.status();       \
  lhs = std::move(result).value()
