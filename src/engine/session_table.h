// SessionTable: the token histories of stateful conversations. Their KV is not held here: a session's
// sequences share a cache salt of their own, so the prefix cache finds what is left of it.
// Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

class SessionTable {
 public:
  // Marks the session busy, making it if it is new, and returns its history.
  // kResourceExhausted when another request of it is running.
  Result<std::vector<int32_t>> begin(int64_t session);
  // The request of begin() is over: the history is now `tokens`, or nothing with `end`.
  void finish(int64_t session, std::span<const int32_t> tokens, bool end);
  // The request of begin() never ran: the history stays as it was.
  void abandon(int64_t session);
  // Forgets a session; a running request of it ends undisturbed. kNotFound when there is none.
  Status end(int64_t session);
  // nullopt when there is none.
  std::optional<int64_t> tokens(int64_t session) const;

 private:
  struct Session {
    std::vector<int32_t> history;
    bool busy = false;
    bool ended = false;  // while busy
  };
  mutable std::mutex mutex_;
  std::unordered_map<int64_t, Session> sessions_;
};

}  // namespace lmdeploy
