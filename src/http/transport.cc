#include "http/transport.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace lmdeploy {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(tcp::socket socket) : socket_(std::move(socket)) {
    boost::system::error_code ignored;
    socket_.non_blocking(true, ignored);
  }

  asio::awaitable<bool> handshake() override { co_return true; }

  asio::awaitable<size_t> read_some(char* data, size_t size) override {
    auto [error, bytes] = co_await socket_.async_read_some(asio::buffer(data, size), kAwait);
    co_return error ? 0 : bytes;
  }

  asio::awaitable<size_t> write_some(std::array<asio::const_buffer, 3> buffers) override {
    // The socket takes the bytes at once as a rule: no round trip through the reactor then.
    boost::system::error_code error;
    const size_t sent = socket_.write_some(buffers, error);
    if (!error) co_return sent;
    if (error != asio::error::would_block) co_return 0;
    auto [late_error, bytes] = co_await socket_.async_write_some(buffers, kAwait);
    co_return late_error ? 0 : bytes;
  }

  asio::awaitable<void> shutdown_send() override {
    boost::system::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }

  void close() override {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  int descriptor() override { return socket_.native_handle(); }

 private:
  tcp::socket socket_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(tcp::socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

}  // namespace lmdeploy
