#include "engine/session_table.h"

namespace lmdeploy {

Result<std::vector<int32_t>> SessionTable::begin(int64_t session) {
  std::lock_guard lock(mutex_);
  auto found = sessions_.find(session);
  if (found == sessions_.end()) {
    if (sessions_.size() >= limits_.sessions) {
      if (idle_.empty()) {
        return resource_exhausted("{} sessions are answering already; try again later", sessions_.size());
      }
      forget_oldest();
    }
    found = sessions_.try_emplace(session).first;
  } else if (found->second.busy) {
    return resource_exhausted("session {} is answering another request; wait for it or cancel it", session);
  } else {
    idle_.erase(found->second.in_idle);
  }
  found->second.busy = true;
  return found->second.history;
}

void SessionTable::finish(int64_t session, std::span<const int32_t> tokens, bool end) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  if (end || found->second.ended) return erase(found);
  tokens_ += tokens.size() - found->second.history.size();
  found->second.history.assign(tokens.begin(), tokens.end());
  make_idle(found);
}

void SessionTable::abandon(int64_t session) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  if (found->second.ended || found->second.history.empty()) return erase(found);
  make_idle(found);
}

Status SessionTable::end(int64_t session) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return not_found("there is no session {}", session);
  if (found->second.busy) {
    found->second.ended = true;
  } else {
    erase(found);
  }
  return {};
}

std::optional<int64_t> SessionTable::tokens(int64_t session) const {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return std::nullopt;
  return static_cast<int64_t>(found->second.history.size());
}

// The newest of the idle ones is forgotten last: only when it alone is longer than all may be.
void SessionTable::make_idle(Sessions::iterator at) {
  at->second.busy = false;
  at->second.in_idle = idle_.insert(idle_.end(), at->first);
  while (tokens_ > limits_.tokens && !idle_.empty()) forget_oldest();
}

void SessionTable::erase(Sessions::iterator at) {
  if (!at->second.busy) idle_.erase(at->second.in_idle);
  tokens_ -= at->second.history.size();
  sessions_.erase(at);
}

void SessionTable::forget_oldest() { erase(sessions_.find(idle_.front())); }

}  // namespace lmdeploy
