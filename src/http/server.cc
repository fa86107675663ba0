#include "http/server.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/json.h"
#include "http/connection.h"
#include "http/io_thread.h"
#include "http/resolve.h"

namespace lmdeploy {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr int kRefusals = 64;  // connections above the limit that still get a 503

std::string plain_error_body(int status, std::string_view message) {
  std::string body = fmt::format("{{\"code\":{},\"message\":", status);
  append_json_string(body, message);
  return body + "}";
}

std::string shown(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                    : fmt::format("{}:{}", address, endpoint.port());
}

// A peer that vanished without a word (power, network) shows by the acknowledgements it does not send:
// of data, and of probes while an answer is still being made.
void notice_vanished_peer(int descriptor, double write_seconds) {
  const int on = 1, idle_seconds = 30, interval_seconds = 10, probes = 3;
  const auto unacknowledged_ms = static_cast<unsigned>(write_seconds * 1000);
  ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
               sizeof unacknowledged_ms);
}

}  // namespace

struct HttpServer::Impl {
  Impl(ServerOptions server_options, Handler server_handler)
      : options(std::move(server_options)),
        handler(std::move(server_handler)),
        shared{options, handler} {}

  Result<std::set<tcp::endpoint>> find_endpoints();
  Status listen();
  Status listen_on(const tcp::endpoint& endpoint, bool v6_only);
  asio::awaitable<void> accept_loop(tcp::acceptor& acceptor);
  void adopt(tcp::socket socket, IoThread& thread);
  template <class F>
  void on_each_thread(F action);
  bool wait_until_empty(double seconds) const;

  ServerOptions options;
  Handler handler;
  ConnectionShared shared;
  std::unique_ptr<TlsContext> tls;
  std::vector<std::unique_ptr<IoThread>> threads;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors;
  int port = 0;
  bool draining = false;
  bool stopped = false;
};

Result<std::set<tcp::endpoint>> HttpServer::Impl::find_endpoints() {
  boost::system::error_code error;
  const auto found = resolve(threads[0]->context(), options.host, options.port, error);
  if (error || found.empty()) {
    return invalid_argument("'{}' is not an address of this machine: {}", options.host,
                            error.message());
  }
  return std::set<tcp::endpoint>(found.begin(), found.end());
}

// A port taken on one of a name's addresses is an error; an address that this machine does not have,
// beside one that it has, is not.
Status HttpServer::Impl::listen() {
  ASSIGN_OR_RETURN(const std::set<tcp::endpoint> endpoints, find_endpoints());
  Status failure;
  port = options.port;
  for (tcp::endpoint endpoint : endpoints) {
    endpoint.port(static_cast<unsigned short>(port));  // the first one's, when any will do
    Status status = listen_on(endpoint, endpoints.size() > 1);
    if (status.code() == StatusCode::kUnavailable) return status;
    if (!status.ok()) failure = std::move(status);
  }
  return acceptors.empty() ? failure : Status();
}

// `v6_only`: IPv4 clients come to an address of their own.
Status HttpServer::Impl::listen_on(const tcp::endpoint& endpoint, bool v6_only) {
  boost::system::error_code error;
  auto acceptor = std::make_unique<tcp::acceptor>(threads[0]->context());
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && v6_only && endpoint.address().is_v6()) {
    acceptor->set_option(asio::ip::v6_only(true), error);
  }
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(tcp::acceptor::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    return unavailable("port {} of {} is taken by another program; choose another port", port,
                       options.host);
  }
  if (error) return invalid_argument("cannot listen on {}: {}", shown(endpoint), error.message());
  port = acceptor->local_endpoint().port();
  acceptors.push_back(std::move(acceptor));
  return {};
}

asio::awaitable<void> HttpServer::Impl::accept_loop(tcp::acceptor& acceptor) {
  asio::steady_timer pause(threads[0]->context());
  for (size_t next = 0; acceptor.is_open(); ++next) {
    IoThread& thread = *threads[next % threads.size()];
    auto [error, socket] = co_await acceptor.async_accept(thread.context(), kAwait);
    if (!error) {
      adopt(std::move(socket), thread);
    } else if (error != asio::error::operation_aborted) {  // out of descriptors: let some close
      pause.expires_after(std::chrono::milliseconds(50));
      co_await pause.async_wait(kAwait);
    }
  }
}

void HttpServer::Impl::adopt(tcp::socket socket, IoThread& thread) {
  boost::system::error_code error;
  socket.set_option(tcp::no_delay(true), error);
  notice_vanished_peer(socket.native_handle(), options.limits.write_seconds);
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return;  // gone already
  const int count = shared.connections.fetch_add(1) + 1;
  if (count > options.limits.connections + kRefusals) {
    shared.connections.fetch_sub(1);
    return;
  }
  const bool over_limit = count > options.limits.connections;
  asio::post(thread.context(), [this, &thread, over_limit, peer = shown(peer),
                                socket = std::move(socket)]() mutable {
    auto transport =
        tls ? tls->make_transport(std::move(socket)) : make_plain_transport(std::move(socket));
    std::make_shared<Connection>(thread, shared, std::move(transport), std::move(peer), over_limit)
        ->start();
  });
}

template <class F>
void HttpServer::Impl::on_each_thread(F action) {
  for (const auto& thread : threads) {
    asio::post(thread->context(), [action, &thread = *thread] { action(thread); });
  }
}

bool HttpServer::Impl::wait_until_empty(double seconds) const {
  const double deadline = monotonic_seconds() + seconds;
  while (shared.connections.load(std::memory_order_acquire) > 0) {
    if (monotonic_seconds() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(ServerOptions options, Handler handler) {
  CHECK(options.io_threads >= 1);
  if (!options.error_body) options.error_body = plain_error_body;
  auto impl = std::make_unique<Impl>(std::move(options), std::move(handler));
  const ServerOptions& kept = impl->options;
  if (!kept.tls_certificate_file.empty() || !kept.tls_key_file.empty()) {
    ASSIGN_OR_RETURN(impl->tls,
                     TlsContext::from_files(kept.tls_certificate_file, kept.tls_key_file));
  }
  for (int i = 0; i < kept.io_threads; ++i) impl->threads.push_back(std::make_unique<IoThread>());
  RETURN_IF_ERROR(impl->listen());
  for (const auto& acceptor : impl->acceptors) {
    asio::co_spawn(impl->threads[0]->context(), impl->accept_loop(*acceptor), asio::detached);
  }
  for (const auto& thread : impl->threads) thread->start();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { stop(0); }

int HttpServer::port() const { return impl_->port; }

int HttpServer::connections() const { return impl_->shared.connections.load(); }

bool HttpServer::drain(double seconds) {
  if (impl_->stopped) return true;
  if (!std::exchange(impl_->draining, true)) {
    asio::post(impl_->threads[0]->context(), [impl = impl_.get()] {
      boost::system::error_code ignored;
      for (const auto& acceptor : impl->acceptors) acceptor->close(ignored);
      // Behind every connection that was accepted before.
      impl->on_each_thread([](IoThread& thread) { thread.drain(); });
    });
  }
  return impl_->wait_until_empty(seconds);
}

bool HttpServer::stop(double drain_seconds) {
  const bool drained = drain(drain_seconds);
  if (std::exchange(impl_->stopped, true)) return true;
  while (!impl_->wait_until_empty(0.1)) {
    impl_->on_each_thread([](IoThread& thread) { thread.abort(); });
  }
  for (const auto& thread : impl_->threads) thread->join();
  return drained;
}

int raise_open_file_limit(int wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < static_cast<rlim_t>(wanted)) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, static_cast<rlim_t>(wanted));
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 30));
}

}  // namespace lmdeploy
