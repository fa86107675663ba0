// Addresses of a host's name.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <vector>

namespace lmdeploy {

// In the order in which to try them; asks the system's resolver and waits for it. "localhost" is both
// loopback addresses (RFC 6761), whatever the hosts file says. None where `error` is set.
std::vector<boost::asio::ip::tcp::endpoint> resolve(boost::asio::io_context& context, const std::string& host,
                                                    int port, boost::system::error_code& error);

}  // namespace lmdeploy
