#include "http/resolve.h"

#include "http/request.h"

namespace lmdeploy {

namespace asio = boost::asio;
using asio::ip::tcp;

std::vector<tcp::endpoint> resolve(asio::io_context& context, const std::string& host, int port,
                                   boost::system::error_code& error) {
  error.clear();
  if (equal_ignoring_case(host, "localhost")) {
    const auto number = static_cast<unsigned short>(port);
    return {{asio::ip::address_v4::loopback(), number}, {asio::ip::address_v6::loopback(), number}};
  }
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : tcp::resolver(context).resolve(host, std::to_string(port), error)) {
    endpoints.push_back(entry.endpoint());
  }
  return endpoints;
}

}  // namespace lmdeploy
