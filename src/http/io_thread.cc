#include "http/io_thread.h"

#include <boost/asio/post.hpp>

#include "base/clock.h"
#include "http/connection.h"

namespace lmdeploy {

namespace {
constexpr auto kTick = std::chrono::milliseconds(100);
}

IoThread::IoThread() : work_(context_.get_executor()), ticker_(context_) {}

IoThread::~IoThread() { join(); }

void IoThread::start() {
  thread_ = std::thread([this] { context_.run(); });
}

void IoThread::join() {
  if (!thread_.joinable()) return;
  boost::asio::post(context_, [this] { ticker_.cancel(); });
  work_.reset();
  thread_.join();
}

void IoThread::wake(std::shared_ptr<Connection> connection) {
  bool first;
  {
    std::lock_guard lock(mutex_);
    first = woken_.empty();
    woken_.push_back(std::move(connection));
  }
  if (first) boost::asio::post(context_, [this] { deliver(); });
}

void IoThread::deliver() {
  std::vector<std::shared_ptr<Connection>> woken;
  {
    std::lock_guard lock(mutex_);
    woken.swap(woken_);
  }
  for (const auto& connection : woken) connection->output_ready();
}

void IoThread::add(Connection* connection) {
  connections_.insert(connection);
  if (draining_) connection->drain();
  if (!ticking_) schedule_tick();
}

void IoThread::remove(Connection* connection) { connections_.erase(connection); }

// Ticks only while there is a connection, so an idle server sleeps.
void IoThread::schedule_tick() {
  ticking_ = !connections_.empty();
  if (!ticking_) return;
  ticker_.expires_after(kTick);
  ticker_.async_wait([this](boost::system::error_code error) {
    ticking_ = false;
    if (error) return;
    const double now = monotonic_seconds();
    const std::vector<Connection*> all(connections_.begin(), connections_.end());
    for (Connection* connection : all) connection->tick(now);
    schedule_tick();
  });
}

void IoThread::drain() {
  draining_ = true;
  const std::vector<Connection*> all(connections_.begin(), connections_.end());
  for (Connection* connection : all) connection->drain();
}

void IoThread::abort() {
  const std::vector<Connection*> all(connections_.begin(), connections_.end());
  for (Connection* connection : all) connection->abort();
}

}  // namespace lmdeploy
