// Router: method and path to handler, with middleware in front.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "http/request.h"
#include "http/response.h"

namespace lmdeploy {

// Runs on an io thread and must not block: hand work to another thread and keep the writer.
using Handler = std::function<void(Request request, ResponseWriter response)>;

// Runs before the handler, in the order of use(); false: it has answered, nothing else runs.
using Middleware = std::function<bool(const Request& request, const ResponseWriter& response)>;

// Filled before the server starts, read-only afterwards (then thread-safe).
class Router {
 public:
  void use(Middleware middleware);
  // Exact path. A GET handler answers HEAD too.
  void add(std::string_view method, std::string_view path, Handler handler);

  // Middleware, then the handler; an unknown path is a 404, another method a 405 with Allow, and
  // OPTIONS a 204 with Allow.
  void handle(Request request, ResponseWriter response) const;

 private:
  using Methods = std::map<std::string, Handler, std::less<>>;
  std::vector<Middleware> middleware_;
  std::map<std::string, Methods, std::less<>> paths_;
};

}  // namespace lmdeploy
