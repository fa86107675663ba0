#include "http/server.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/http/server_fixture.h"

namespace lmdeploy {
namespace {

size_t count(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  start();
  HttpClient client = this->client();
  for (int i = 0; i < 3; ++i) {
    auto reply = client.get("/hello?x=1");
    ASSERT_TRUE(reply.ok()) << reply.status().message();
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(reply->body, "hello");
    EXPECT_EQ(*reply->headers.find("content-type"), "text/plain");
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(ServerTest, HonoursConnectionClose) {
  start();
  RawSocket socket = connect();
  socket.send(http_get("/hello", "Connection: close\r\n"));
  const std::string answer = socket.read_all();
  EXPECT_TRUE(socket.closed());
  EXPECT_NE(answer.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\nhello"));
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  RawSocket socket = connect();
  std::string all;
  for (int i = 0; i < 50; ++i) all += http_post("/echo", "<" + std::to_string(i) + ">");
  socket.send(all);
  const std::string answers = socket.read_until("<49>");
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = answers.find("<" + std::to_string(i) + ">", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
}

TEST_F(ServerTest, BytesOneByOneAndBlankLinesBetweenRequests) {
  start();
  RawSocket socket = connect();
  const std::string request = "\r\n\r\n" + http_post("/echo", "abc") + "\r\n" + http_get("/hello");
  for (const char c : request) ASSERT_TRUE(socket.send(std::string_view(&c, 1)));
  const std::string answers = socket.read_until("\r\n\r\nhello");
  EXPECT_NE(answers.find("\r\n\r\nabc"), std::string::npos);
}

TEST_F(ServerTest, ChunkedUpload) {
  start();
  RawSocket socket = connect();
  socket.send("POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
  socket.send("5\r\nhello\r\n");
  socket.send("7;name=value\r\n, world\r\n0\r\n\r\n");
  EXPECT_TRUE(socket.read_until("hello, world").ends_with("\r\n\r\nhello, world"));
}

TEST_F(ServerTest, LargeBodiesBothWays) {
  start();
  std::string body(20 << 20, 'x');
  for (size_t i = 0; i < body.size(); i += 1000) body[i] = static_cast<char>('a' + i / 1000 % 26);
  auto reply = client().post("/echo", body);
  ASSERT_TRUE(reply.ok()) << reply.status().message();
  EXPECT_TRUE(reply->body == body);
}

TEST_F(ServerTest, ExpectContinue) {
  start();
  RawSocket socket = connect();
  socket.send(
      "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(socket.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.send("body");
  EXPECT_TRUE(socket.read_until("body").starts_with("HTTP/1.1 200 OK\r\n"));
}

TEST_F(ServerTest, HeadHasNoBody) {
  start();
  RawSocket socket = connect();
  socket.send("HEAD /hello HTTP/1.1\r\nHost: t\r\n\r\n" + http_get("/hello"));
  const std::string answers = socket.read_until("hello");
  EXPECT_EQ(count(answers, "Content-Length: 5"), 2u);
  EXPECT_EQ(count(answers, "hello"), 1u);
}

TEST_F(ServerTest, Http10StreamsEndByClosing) {
  start();
  RawSocket socket = connect();
  socket.send("POST /stream HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
  auto writer = next_held();
  ASSERT_TRUE(writer);
  writer->write("data");
  writer->finish();
  const std::string answer = socket.read_all();
  EXPECT_TRUE(socket.closed());
  EXPECT_TRUE(answer.ends_with("\r\n\r\ndata")) << answer;
  EXPECT_EQ(answer.find("chunked"), std::string::npos);
}

TEST_F(ServerTest, RoutesThatDoNotExist) {
  start();
  HttpClient client = this->client();
  auto missing = client.get("/nothing");
  ASSERT_TRUE(missing.ok());
  EXPECT_EQ(missing->status, 404);
  EXPECT_NE(missing->body.find("there is no route GET /nothing"), std::string::npos);
  auto wrong = client.get("/echo");
  ASSERT_TRUE(wrong.ok());
  EXPECT_EQ(wrong->status, 405);
  EXPECT_EQ(*wrong->headers.find("Allow"), "OPTIONS, POST");
  auto asked = client.request("OPTIONS", "/hello", "", "", {});
  ASSERT_TRUE(asked.ok());
  EXPECT_EQ(asked->status, 204);
  EXPECT_EQ(*asked->headers.find("Allow"), "OPTIONS, GET, HEAD");
}

TEST_F(ServerTest, PathsBelowASlashGoToItsRoute) {
  router_.add("GET", "/things/", [](Request request, ResponseWriter response) {
    response.add_header("X-Given", "1\r\nX-Forged: 1");
    response.send(200, "text/plain", percent_decoded(request.path().substr(8)));
  });
  router_.add("GET", "/things/own", [](Request, ResponseWriter response) {
    response.send(200, "text/plain", "its own");
  });
  start();
  HttpClient client = this->client();
  EXPECT_EQ(client.get("/things/a/b%2Fc?x=/things/own")->body, "a/b/c");
  EXPECT_EQ(client.get("/things/own")->body, "its own");
  EXPECT_EQ(client.get("/things/own/more")->body, "own/more");
  EXPECT_EQ(client.get("/things")->status, 404);
  EXPECT_EQ(client.post("/things/a", "")->status, 405);
  auto given = client.get("/things/");
  EXPECT_NE(given->headers.find("X-Given"), nullptr);
  EXPECT_EQ(given->headers.find("X-Forged"), nullptr);
}

TEST_F(ServerTest, CorsPreflightAndAnswers) {
  ServerOptions options;
  options.cors = {.allow_origins = {"https://good"}, .allow_credentials = true};
  start(std::move(options));
  HttpClient client = this->client();
  auto good = client.request("OPTIONS", "/echo", "", "",
                             {{"Origin", "https://good"},
                              {"Access-Control-Request-Method", "POST"},
                              {"Access-Control-Request-Headers", "authorization"}});
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->status, 204);
  EXPECT_EQ(*good->headers.find("Access-Control-Allow-Origin"), "https://good");
  EXPECT_EQ(*good->headers.find("Access-Control-Allow-Headers"), "authorization");
  EXPECT_EQ(*good->headers.find("Access-Control-Allow-Credentials"), "true");
  auto bad = client.request("OPTIONS", "/echo", "", "",
                            {{"Origin", "https://bad"}, {"Access-Control-Request-Method", "POST"}});
  ASSERT_TRUE(bad.ok());
  EXPECT_EQ(bad->status, 400);
  auto plain = client.get("/hello", {{"Origin", "https://bad"}});
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->headers.find("Access-Control-Allow-Origin"), nullptr);
}

TEST_F(ServerTest, AbandonedRequestsGetAnAnswer) {
  router_.add("GET", "/forgotten", [](Request, ResponseWriter) {});
  router_.add("GET", "/broken", [](Request, ResponseWriter response) {
    response.start_stream(200, "text/plain");
    response.write("half");
  });
  start();
  auto reply = client().get("/forgotten");
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->status, 500);
  EXPECT_FALSE(client().get("/broken").ok());
}

TEST_F(ServerTest, HandlerExceptionsBecome500) {
  router_.add("GET", "/throws", [](Request, ResponseWriter) { throw std::bad_alloc(); });
  start();
  auto reply = client().get("/throws");
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->status, 500);
}

TEST_F(ServerTest, ErrorsTakeTheShapeTheyAreGiven) {
  ServerOptions options;
  options.error_body = [](int status, std::string_view message) {
    return "E" + std::to_string(status) + ":" + std::string(message);
  };
  start(std::move(options));
  RawSocket socket = connect();
  socket.send("NONSENSE\r\n\r\n");
  EXPECT_NE(socket.read_all().find("\r\n\r\nE400:this is not a valid HTTP/1.1 request"),
            std::string::npos);
}

TEST_F(ServerTest, AccessRecords) {
  std::mutex mutex;
  std::vector<AccessRecord> records;
  ServerOptions options;
  options.on_access = [&](const AccessRecord& record) {
    std::lock_guard lock(mutex);
    records.push_back(record);
  };
  start(std::move(options));
  RawSocket socket = connect();
  socket.send(http_get("/hello?a=b"));
  const std::string answer = socket.read_until("hello");
  socket.close();
  server_.reset();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].method, "GET");
  EXPECT_EQ(records[0].target, "/hello?a=b");
  EXPECT_EQ(records[0].status, 200);
  EXPECT_EQ(records[0].bytes_sent, answer.size());
  EXPECT_TRUE(records[0].complete);
  EXPECT_TRUE(records[0].peer.starts_with("127.0.0.1:"));
}

TEST_F(ServerTest, SeveralIoThreadsServeManyClients) {
  ServerOptions options;
  options.io_threads = 3;
  start(std::move(options));
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      HttpClient client = this->client();
      for (int i = 0; i < 100; ++i) {
        const std::string body = std::to_string(t * 1000 + i);
        auto reply = client.post("/echo", body);
        if (reply.ok() && reply->body == body) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 600);
}

TEST(HttpServer, SaysWhyItCannotListen) {
  auto first = HttpServer::start({.host = "127.0.0.1"}, [](Request, ResponseWriter) {});
  ASSERT_TRUE(first.ok());
  auto second = HttpServer::start({.host = "127.0.0.1", .port = (*first)->port()},
                                  [](Request, ResponseWriter) {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.status().message().find("is taken by another program"), std::string::npos);
  EXPECT_FALSE(
      HttpServer::start({.host = "no.such.host.invalid"}, [](Request, ResponseWriter) {}).ok());
}

// Whether this machine has ::1 at all.
bool has_ipv6_loopback() {
  const int descriptor = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  const bool bound = ::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(descriptor);
  return bound;
}

TEST(HttpServer, ListensOnEveryAddressOfAName) {
  auto server = HttpServer::start({.host = "localhost"}, [](Request, ResponseWriter response) {
    response.send(200, "text/plain", "here");
  });
  ASSERT_TRUE(server.ok()) << server.status().message();
  std::vector<std::string> addresses = {"127.0.0.1", "localhost"};
  if (has_ipv6_loopback()) addresses.push_back("::1");
  for (const std::string& address : addresses) {
    auto reply = HttpClient({.host = address, .port = (*server)->port()}).get("/");
    ASSERT_TRUE(reply.ok()) << reply.status().message();
    EXPECT_EQ(reply->body, "here");
  }
  // A second one is told, although one address may be free.
  EXPECT_FALSE(HttpServer::start({.host = "localhost", .port = (*server)->port()},
                                 [](Request, ResponseWriter) {})
                   .ok());
}

TEST(HttpClient, FailuresAreStatuses) {
  int closed_port;
  {
    auto server = HttpServer::start({.host = "127.0.0.1"}, [](Request, ResponseWriter) {});
    closed_port = (*server)->port();
  }
  HttpClient nobody({.port = closed_port});
  EXPECT_EQ(nobody.get("/").status().code(), StatusCode::kUnavailable);
  std::vector<ResponseWriter> held;
  auto server = HttpServer::start(
      {.host = "127.0.0.1"}, [&](Request, ResponseWriter response) { held.push_back(response); });
  HttpClient slow({.port = (*server)->port(), .read_seconds = 0.2});
  EXPECT_NE(slow.get("/").status().message().find("timed out"), std::string::npos);
  (*server)->stop(0);
}

}  // namespace
}  // namespace lmdeploy
