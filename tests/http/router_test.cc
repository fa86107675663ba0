#include "http/router.h"

#include <gtest/gtest.h>

#include "http/response_state.h"

namespace lmdeploy {
namespace {

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    for (const char* path : {"/a", "/a/", "/a/b/", "/x"}) add("GET", path);
    add("POST", "/a");
  }
  void add(const char* method, const char* path) {
    router_.add(method, path, [this, path](Request, ResponseWriter response) {
      called_ = path;
      response.send(200, "text/plain", "");
    });
  }
  // The path whose handler ran, or the status and Allow of the answer that came instead.
  std::string answer(const char* method, const char* target) {
    const ErrorBody body = [](int, std::string_view message) { return std::string(message); };
    const auto state = std::make_shared<ResponseState>(ResponseForm{}, body, [] {});
    Request request;
    request.method = method;
    request.target = target;
    called_.clear();
    router_.handle(std::move(request), ResponseWriter(state));
    if (!called_.empty()) return called_;
    const std::string head = state->take()->head;
    const size_t allow = head.find("Allow: ");
    return std::to_string(state->status()) +
           (allow == std::string::npos ? "" : " " + head.substr(allow + 7, head.find('\r', allow) - allow - 7));
  }

  Router router_;
  std::string called_;
};

TEST_F(RouterTest, ExactPathsComeBeforeTheLongestPrefix) {
  EXPECT_EQ(answer("GET", "/a"), "/a");
  EXPECT_EQ(answer("GET", "/a?query=1"), "/a");
  EXPECT_EQ(answer("GET", "/a/"), "/a/");
  EXPECT_EQ(answer("GET", "/a/c/d"), "/a/");
  EXPECT_EQ(answer("GET", "/a/b/c"), "/a/b/");
  EXPECT_EQ(answer("HEAD", "/a/b/c"), "/a/b/");
  EXPECT_EQ(answer("POST", "/a"), "/a");
}

TEST_F(RouterTest, OtherPathsAndMethods) {
  for (const char* target : {"/", "/b", "/x/", "/x/y", "", "a", "?/a"}) EXPECT_EQ(answer("GET", target), "404") << target;
  EXPECT_EQ(answer("POST", "/x"), "405 OPTIONS, GET, HEAD");
  EXPECT_EQ(answer("DELETE", "/a"), "405 OPTIONS, GET, HEAD, POST");
  EXPECT_EQ(answer("OPTIONS", "/x"), "204 OPTIONS, GET, HEAD");
}

}  // namespace
}  // namespace lmdeploy
