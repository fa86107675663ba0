// Router: method and path to handler.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "http/request.h"
#include "http/response.h"

namespace lmdeploy {

// Runs on an io thread and must not block: hand work to another thread and keep the writer.
using Handler = std::function<void(Request request, ResponseWriter response)>;

// Filled before the server starts, read-only afterwards (then thread-safe).
class Router {
 public:
  // Exact path, or with a final '/' every path that begins with it and has no entry of its own. A GET
  // handler answers HEAD too.
  void add(std::string_view method, std::string_view path, Handler handler);

  // Calls the handler; an unknown path is a 404, another method a 405 with Allow, and OPTIONS a 204
  // with Allow.
  void handle(Request request, ResponseWriter response) const;

 private:
  using Methods = std::map<std::string, Handler, std::less<>>;
  const Methods* methods_of(std::string_view path) const;
  std::map<std::string, Methods, std::less<>> paths_;
};

}  // namespace lmdeploy
