// IoThread: one thread, its event loop and the connections that live on it. Internal to http/.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

namespace lmdeploy {

class Connection;

class IoThread {
 public:
  IoThread();
  ~IoThread();  // join()

  boost::asio::io_context& context() { return context_; }
  void start();
  // No connection may be left.
  void join();

  // Any thread: connection.output_ready() soon, on this thread. Calls between two turns of the loop
  // cost one wake-up.
  void wake(std::shared_ptr<Connection> connection);

  // This thread alone.
  void add(Connection* connection);
  void remove(Connection* connection);
  void drain();
  void abort();

 private:
  void deliver();
  void schedule_tick();

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer ticker_;
  bool ticking_ = false;
  bool draining_ = false;
  std::unordered_set<Connection*> connections_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Connection>> woken_;
  std::thread thread_;
};

}  // namespace lmdeploy
