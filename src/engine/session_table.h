// SessionTable: the token histories of stateful conversations. Their KV is not held here: a session's
// sequences share a cache salt of their own, so the prefix cache finds what is left of it.
//
// Bounded, since clients come and never say goodbye: when there are too many sessions, or their
// histories are too long together, the one whose last turn is longest ago is forgotten, and its next
// turn begins a new conversation. A session that is answering is never forgotten.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

// Thread-safe.
class SessionTable {
 public:
  struct Limits {
    size_t sessions = 16384;
    size_t tokens = size_t{32} << 20;  // of all histories: 128 MiB
  };
  SessionTable() = default;
  explicit SessionTable(Limits limits) : limits_(limits) {}

  // Marks the session busy, making it if it is new, and returns its history.
  // kResourceExhausted when another request of it is running, or every session there may be is busy.
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
    bool ended = false;                    // while busy
    std::list<int64_t>::iterator in_idle;  // while not busy
  };
  using Sessions = std::unordered_map<int64_t, Session>;

  void make_idle(Sessions::iterator at);
  void erase(Sessions::iterator at);
  void forget_oldest();

  const Limits limits_ = {};
  mutable std::mutex mutex_;
  Sessions sessions_;
  std::list<int64_t> idle_;  // longest idle first
  size_t tokens_ = 0;        // in all histories
};

}  // namespace lmdeploy
