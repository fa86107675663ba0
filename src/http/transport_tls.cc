#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "http/transport.h"

namespace lmdeploy {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

class TlsTransport final : public Transport {
 public:
  TlsTransport(tcp::socket socket, asio::ssl::context& context)
      : stream_(std::move(socket), context) {}

  asio::awaitable<bool> handshake() override {
    auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
    co_return !error;
  }

  asio::awaitable<size_t> read_some(char* data, size_t size) override {
    auto [error, bytes] = co_await stream_.async_read_some(asio::buffer(data, size), kAwait);
    co_return error ? 0 : bytes;
  }

  asio::awaitable<size_t> write_some(std::array<asio::const_buffer, 3> buffers) override {
    auto [error, bytes] = co_await stream_.async_write_some(buffers, kAwait);
    co_return error ? 0 : bytes;
  }

  asio::awaitable<void> shutdown_send() override { co_await stream_.async_shutdown(kAwait); }

  void close() override {
    boost::system::error_code ignored;
    stream_.next_layer().close(ignored);
  }

  int descriptor() override { return stream_.next_layer().native_handle(); }

 private:
  asio::ssl::stream<tcp::socket> stream_;
};

class AsioTlsContext final : public TlsContext {
 public:
  AsioTlsContext() : context_(asio::ssl::context::tls_server) {
    context_.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                         asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                         asio::ssl::context::no_tlsv1_1);
    SSL_CTX_set_mode(context_.native_handle(), SSL_MODE_RELEASE_BUFFERS);
  }

  Status load(const std::string& certificate_file, const std::string& key_file) {
    boost::system::error_code error;
    context_.use_certificate_chain_file(certificate_file, error);
    if (error) {
      return invalid_argument("the TLS certificate file '{}' cannot be used: {}", certificate_file,
                              error.message());
    }
    context_.use_private_key_file(key_file, asio::ssl::context::pem, error);
    if (error) {
      return invalid_argument("the TLS key file '{}' cannot be used with '{}': {}", key_file,
                              certificate_file, error.message());
    }
    return {};
  }

  std::unique_ptr<Transport> make_transport(tcp::socket socket) override {
    return std::make_unique<TlsTransport>(std::move(socket), context_);
  }

 private:
  asio::ssl::context context_;
};

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::from_files(const std::string& certificate_file,
                                                           const std::string& key_file) {
  auto context = std::make_unique<AsioTlsContext>();
  RETURN_IF_ERROR(context->load(certificate_file, key_file));
  return std::unique_ptr<TlsContext>(std::move(context));
}

}  // namespace lmdeploy
