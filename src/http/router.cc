#include "http/router.h"

#include <fmt/format.h>

#include "base/check.h"

namespace lmdeploy {

void Router::add(std::string_view method, std::string_view path, Handler handler) {
  const bool inserted =
      paths_[std::string(path)].emplace(std::string(method), std::move(handler)).second;
  CHECK(inserted, "two handlers for {} {}", method, path);
}

namespace {

template <class Methods>
std::string allowed(const Methods& methods) {
  std::string out = "OPTIONS";
  for (const auto& [method, handler] : methods) {
    out += ", " + method;
    if (method == "GET") out += ", HEAD";
  }
  return out;
}

}  // namespace

const Router::Methods* Router::methods_of(std::string_view path) const {
  auto found = paths_.find(path);
  for (size_t slash = path.rfind('/'); found == paths_.end() && slash != std::string_view::npos;) {
    found = paths_.find(path.substr(0, slash + 1));
    slash = slash == 0 ? std::string_view::npos : path.rfind('/', slash - 1);
  }
  return found == paths_.end() ? nullptr : &found->second;
}

void Router::handle(Request request, ResponseWriter response) const {
  const Methods* methods = methods_of(request.path());
  if (methods == nullptr) {
    response.send_error(404,
                        fmt::format("there is no route {} {}", request.method, request.path()));
    return;
  }
  const auto handler = methods->find(request.method == "HEAD" ? "GET" : request.method);
  if (handler != methods->end()) {
    handler->second(std::move(request), std::move(response));
    return;
  }
  response.add_header("Allow", allowed(*methods));
  if (request.method == "OPTIONS") {
    response.send(204, "", "");
  } else {
    response.send_error(
        405, fmt::format("{} takes {}, not {}", request.path(), allowed(*methods), request.method));
  }
}

}  // namespace lmdeploy
