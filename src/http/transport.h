// Transport: bytes of one accepted connection, plain or TLS. Internal to http/.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>

#include "base/status.h"

namespace lmdeploy {

// Used on its socket's io thread alone; at most one read and one write at a time. Nothing throws:
// an error and the end of the stream are both 0 bytes.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual boost::asio::awaitable<bool> handshake() = 0;
  virtual boost::asio::awaitable<size_t> read_some(char* data, size_t size) = 0;
  virtual boost::asio::awaitable<size_t> write_some(
      std::array<boost::asio::const_buffer, 3> buffers) = 0;
  // Says that no more bytes follow.
  virtual boost::asio::awaitable<void> shutdown_send() = 0;
  // Ends every operation under way.
  virtual void close() = 0;
  virtual int descriptor() = 0;
};

std::unique_ptr<Transport> make_plain_transport(boost::asio::ip::tcp::socket socket);

// The server's certificate chain and private key (PEM files).
class TlsContext {
 public:
  static Result<std::unique_ptr<TlsContext>> from_files(const std::string& certificate_file,
                                                        const std::string& key_file);
  virtual ~TlsContext() = default;
  virtual std::unique_ptr<Transport> make_transport(boost::asio::ip::tcp::socket socket) = 0;
};

}  // namespace lmdeploy
