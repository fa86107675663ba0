#include "engine/session_table.h"

namespace lmdeploy {

Result<std::vector<int32_t>> SessionTable::begin(int64_t session) {
  std::lock_guard lock(mutex_);
  Session& entry = sessions_[session];
  if (entry.busy) {
    return resource_exhausted("session {} is answering another request; wait for it or cancel it", session);
  }
  entry.busy = true;
  return entry.history;
}

void SessionTable::finish(int64_t session, std::span<const int32_t> tokens, bool end) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  if (end || found->second.ended) {
    sessions_.erase(found);
    return;
  }
  found->second.history.assign(tokens.begin(), tokens.end());
  found->second.busy = false;
}

void SessionTable::abandon(int64_t session) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second.busy = false;
  if (found->second.ended || found->second.history.empty()) sessions_.erase(found);
}

Status SessionTable::end(int64_t session) {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return not_found("there is no session {}", session);
  if (found->second.busy) {
    found->second.ended = true;
  } else {
    sessions_.erase(found);
  }
  return {};
}

std::optional<int64_t> SessionTable::tokens(int64_t session) const {
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return std::nullopt;
  return static_cast<int64_t>(found->second.history.size());
}

}  // namespace lmdeploy
