#include "http/server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "base/clock.h"
#include "base/json.h"
#include "http/connection.h"
#include "http/io_thread.h"

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

}  // namespace

struct HttpServer::Impl {
  Impl(ServerOptions server_options, Handler server_handler)
      : options(std::move(server_options)),
        handler(std::move(server_handler)),
        shared{options, handler} {}

  Status listen();
  asio::awaitable<void> accept_loop();
  void adopt(tcp::socket socket, IoThread& thread);
  template <class F>
  void on_each_thread(F action);
  bool wait_until_empty(double seconds) const;

  ServerOptions options;
  Handler handler;
  ConnectionShared shared;
  std::unique_ptr<TlsContext> tls;
  std::vector<std::unique_ptr<IoThread>> threads;
  std::unique_ptr<tcp::acceptor> acceptor;
  int port = 0;
  bool stopped = false;
};

Status HttpServer::Impl::listen() {
  tcp::resolver resolver(threads[0]->context());
  boost::system::error_code error;
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
  if (error || found.empty()) {
    return invalid_argument("'{}' is not an address of this machine: {}", options.host,
                            error.message());
  }
  const tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor = std::make_unique<tcp::acceptor>(threads[0]->context());
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(tcp::acceptor::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    return unavailable("port {} of {} is taken by another program; choose another port",
                       options.port, options.host);
  }
  if (error) return unavailable("cannot listen on {}: {}", shown(endpoint), error.message());
  port = acceptor->local_endpoint().port();
  return {};
}

asio::awaitable<void> HttpServer::Impl::accept_loop() {
  asio::steady_timer pause(threads[0]->context());
  for (size_t next = 0; acceptor->is_open(); ++next) {
    IoThread& thread = *threads[next % threads.size()];
    auto [error, socket] = co_await acceptor->async_accept(thread.context(), kAwait);
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
  asio::co_spawn(impl->threads[0]->context(), impl->accept_loop(), asio::detached);
  for (const auto& thread : impl->threads) thread->start();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { stop(0); }

int HttpServer::port() const { return impl_->port; }

int HttpServer::connections() const { return impl_->shared.connections.load(); }

bool HttpServer::stop(double drain_seconds) {
  if (impl_->stopped) return true;
  impl_->stopped = true;
  asio::post(impl_->threads[0]->context(), [impl = impl_.get()] {
    boost::system::error_code ignored;
    impl->acceptor->close(ignored);
    // Behind every connection that was accepted before.
    impl->on_each_thread([](IoThread& thread) { thread.drain(); });
  });
  const bool drained = impl_->wait_until_empty(drain_seconds);
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
