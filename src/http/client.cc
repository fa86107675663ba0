#include "http/client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <optional>

#include "http/resolve.h"

namespace lmdeploy {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Error = boost::system::error_code;

namespace {

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }
beast::string_view view(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

// Each step starts one asynchronous operation with a deadline and runs the loop until it is done.
struct HttpClient::Impl {
  explicit Impl(HttpClientOptions client_options) : options(std::move(client_options)) {}

  using TlsStream = beast::ssl_stream<beast::tcp_stream>;
  using Message = http::request<http::string_body>;

  beast::tcp_stream& tcp_layer() { return tls ? tls->next_layer() : *plain; }
  bool connected() const { return tls || plain; }
  void disconnect();
  Status failed(const char* step, const Error& error);
  template <class Start>
  Error run(double seconds, Start start);
  Status connect();
  Status set_up_tls();
  Result<HttpReply> exchange(Message& message, const std::function<bool(std::string_view)>& on_data,
                             bool& nothing_received);
  template <class Stream>
  Result<HttpReply> exchange_on(Stream& stream, Message& message,
                                const std::function<bool(std::string_view)>& on_data,
                                bool& nothing_received);

  HttpClientOptions options;
  asio::io_context context{1};
  std::optional<asio::ssl::context> tls_context;
  std::optional<TlsStream> tls;
  std::optional<beast::tcp_stream> plain;
  beast::flat_buffer buffer;
};

void HttpClient::Impl::disconnect() {
  tls.reset();
  plain.reset();
  buffer.clear();
}

Status HttpClient::Impl::failed(const char* step, const Error& error) {
  disconnect();
  return unavailable("{}:{}: {}: {}", options.host, options.port, step,
                     error == beast::error::timeout ? "timed out" : error.message());
}

template <class Start>
Error HttpClient::Impl::run(double seconds, Start start) {
  Error result;
  tcp_layer().expires_after(std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6)));
  start([&result](Error error, auto&&...) { result = error; });
  context.restart();
  context.run();
  return result;
}

Status HttpClient::Impl::set_up_tls() {
  tls_context.emplace(asio::ssl::context::tls_client);
  tls_context->set_verify_mode(asio::ssl::verify_peer);
  Error error;
  if (options.tls_ca_file.empty()) {
    tls_context->set_default_verify_paths(error);
  } else {
    tls_context->load_verify_file(options.tls_ca_file, error);
  }
  if (error) {
    return invalid_argument("the TLS trust file '{}' cannot be used: {}", options.tls_ca_file,
                            error.message());
  }
  return {};
}

Status HttpClient::Impl::connect() {
  disconnect();
  if (options.tls && !tls_context) RETURN_IF_ERROR(set_up_tls());
  Error error;
  const auto endpoints = resolve(context, options.host, options.port, error);
  if (error) return failed("cannot find the host", error);
  if (options.tls) {
    tls.emplace(context, *tls_context);
    SSL_set_tlsext_host_name(tls->native_handle(), options.host.c_str());
    tls->set_verify_callback(asio::ssl::host_name_verification(options.host));
  } else {
    plain.emplace(context);
  }
  error =
      run(options.connect_seconds, [&](auto done) { tcp_layer().async_connect(endpoints, done); });
  if (error) return failed("cannot connect", error);
  if (tls) {
    error = run(options.connect_seconds,
                [&](auto done) { tls->async_handshake(asio::ssl::stream_base::client, done); });
    if (error) return failed("TLS handshake", error);
  }
  tcp_layer().socket().set_option(tcp::no_delay(true), error);
  return {};
}

template <class Stream>
Result<HttpReply> HttpClient::Impl::exchange_on(
    Stream& stream, Message& message, const std::function<bool(std::string_view)>& on_data,
    bool& nothing_received) {
  nothing_received = true;
  Error error =
      run(options.read_seconds, [&](auto done) { http::async_write(stream, message, done); });
  if (error) return failed("sending the request", error);
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(on_data ? boost::none : boost::optional<uint64_t>(options.max_body_bytes));
  parser.skip(message.method() == http::verb::head);
  error = run(options.read_seconds,
              [&](auto done) { http::async_read_header(stream, buffer, parser, done); });
  if (error) return failed("waiting for the answer", error);
  nothing_received = false;
  HttpReply reply{.status = static_cast<int>(parser.get().result_int())};
  for (const auto& field : parser.get()) {
    reply.headers.push_back(
        {std::string(view(field.name_string())), std::string(view(field.value()))});
  }
  std::array<char, 16384> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    error = run(options.read_seconds,
                [&](auto done) { http::async_read_some(stream, buffer, parser, done); });
    const std::string_view data(piece.data(), piece.size() - parser.get().body().size);
    if (on_data && !data.empty() && !on_data(data)) {
      disconnect();
      return Status(StatusCode::kCancelled, "the caller wanted no more of the answer");
    }
    if (!on_data) reply.body.append(data);
    if (error && error != http::error::need_buffer) return failed("reading the answer", error);
  }
  if (!parser.keep_alive()) disconnect();
  return reply;
}

Result<HttpReply> HttpClient::Impl::exchange(Message& message,
                                             const std::function<bool(std::string_view)>& on_data,
                                             bool& nothing_received) {
  if (!connected()) RETURN_IF_ERROR(connect());
  return tls ? exchange_on(*tls, message, on_data, nothing_received)
             : exchange_on(*plain, message, on_data, nothing_received);
}

HttpClient::HttpClient(HttpClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;

Result<HttpReply> HttpClient::get(std::string_view target, const HttpHeaders& headers) {
  return request("GET", target, "", "", headers);
}

Result<HttpReply> HttpClient::post(std::string_view target, std::string_view json_body,
                                   const HttpHeaders& headers) {
  return request("POST", target, "application/json", json_body, headers);
}

Result<HttpReply> HttpClient::request(std::string_view method, std::string_view target,
                                      std::string_view content_type, std::string_view body,
                                      const HttpHeaders& headers,
                                      const std::function<bool(std::string_view)>& on_data) {
  Impl::Message message;
  message.method_string(view(method));
  message.target(view(target));
  message.version(11);
  message.set(http::field::host, impl_->options.host + ":" + std::to_string(impl_->options.port));
  if (!content_type.empty()) message.set(http::field::content_type, view(content_type));
  for (const HttpHeader& header : headers) message.set(header.name, header.value);
  message.body() = std::string(body);
  message.prepare_payload();
  const bool reused = impl_->connected();
  bool nothing_received = false;
  Result<HttpReply> reply = impl_->exchange(message, on_data, nothing_received);
  // A kept connection may have been closed by the server's idle timeout: once more on a new one.
  if (!reply.ok() && reused && nothing_received) {
    reply = impl_->exchange(message, on_data, nothing_received);
  }
  return reply;
}

}  // namespace lmdeploy
