// What server-sent events cost: STREAMS clients (a process of their own), RATE events a second to
// each, pushed by one producer thread as an engine's steps would be. Prints the server process's
// CPU time for an event and its memory for a stream.
//
//   sse_bench [STREAMS=2000] [RATE=20] [SECONDS=10]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "http/server.h"
#include "http/sse.h"

namespace {

using namespace lmdeploy;

size_t resident_bytes() {
  size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The clients: opens the streams and reads until the server closes them all.
int run_clients(int port_pipe, int streams) {
  int port = 0;
  if (::read(port_pipe, &port, sizeof port) != sizeof port) return 1;
  const int poller = ::epoll_create1(0);
  const std::string request =
      "POST /s HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  int open = 0;
  for (int i = 0; i < streams; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
    if (::write(fd, request.data(), request.size()) < 0) return 1;
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    ++open;
  }
  std::vector<epoll_event> events(256);
  std::vector<char> buffer(1 << 16);
  while (open > 0) {
    const int n = ::epoll_wait(poller, events.data(), static_cast<int>(events.size()), 10000);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (::read(fd, buffer.data(), buffer.size()) > 0) continue;
      ::close(fd);
      --open;
    }
    if (n == 0) return 1;
  }
  return 0;
}

int run_server(int port_pipe, size_t streams, int rate, double seconds) {
  std::mutex mutex;
  std::vector<ResponseWriter> writers;
  const size_t before = resident_bytes();
  auto server = HttpServer::start({.host = "127.0.0.1"}, [&](Request, ResponseWriter response) {
    response.start_stream(200, kSseContentType);
    std::lock_guard lock(mutex);
    writers.push_back(std::move(response));
  });
  if (!server.ok()) return 1;
  const int port = (*server)->port();
  if (::write(port_pipe, &port, sizeof port) != sizeof port) return 1;
  for (size_t open = 0; open < streams;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::lock_guard lock(mutex);
    open = writers.size();
  }
  const double bytes_each =
      static_cast<double>(resident_bytes() - before) / static_cast<double>(streams);
  std::string event;
  append_sse_event(
      event,
      R"({"id":"chatcmpl-0123456789abcdefghijklmn","object":"chat.completion.chunk","created":1700000000,)"
      R"("model":"m","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]})");
  const int steps = static_cast<int>(rate * seconds);
  const double cpu_begin = cpu_seconds();
  const double begin = monotonic_seconds();
  for (int step = 0; step < steps; ++step) {
    for (const ResponseWriter& writer : writers) writer.write(event);
    const double ahead = begin + (step + 1.0) / rate - monotonic_seconds();
    if (ahead > 0) std::this_thread::sleep_for(std::chrono::duration<double>(ahead));
  }
  const double wall = monotonic_seconds() - begin;
  const double count = static_cast<double>(steps) * static_cast<double>(streams);
  std::printf(
      "%zu streams: %.0f bytes each; %.0f events in %.1f s (%.0f/s), %.2f us CPU an event\n",
      streams, bytes_each, count, wall, count / wall, (cpu_seconds() - cpu_begin) / count * 1e6);
  for (const ResponseWriter& writer : writers) writer.finish();
  return (*server)->stop(10) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const int streams = argc > 1 ? std::atoi(argv[1]) : 2000;
  const int rate = argc > 2 ? std::atoi(argv[2]) : 20;
  const double seconds = argc > 3 ? std::atof(argv[3]) : 10;
  raise_open_file_limit(streams + 100);
  int channel[2];
  if (::pipe(channel) != 0) return 1;
  const pid_t clients = ::fork();
  if (clients == 0) return run_clients(channel[0], streams);
  const int result = run_server(channel[1], static_cast<size_t>(streams), rate, seconds);
  int status = 0;
  ::waitpid(clients, &status, 0);
  return result != 0 || status != 0;
}
