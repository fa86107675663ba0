#include "cli/interrupt.h"

#include <csignal>
#include <ctime>

namespace lmdeploy::cli {

namespace {

// A signal handler can reach nothing but a global; this flag is the only one.
volatile std::sig_atomic_t signal_count = 0;

void count_signal(int) { signal_count = signal_count + 1; }

void install(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard(bool terminate_too) {
  signal_count = 0;
  install(SIGINT, count_signal);
  if (terminate_too) install(SIGTERM, count_signal);
}

InterruptGuard::~InterruptGuard() { release(); }

void InterruptGuard::release() {
  install(SIGINT, SIG_DFL);
  install(SIGTERM, SIG_DFL);
}

int InterruptGuard::count() const { return signal_count; }
void InterruptGuard::clear() { signal_count = 0; }

void InterruptGuard::wait() const {
  while (signal_count == 0) {
    const timespec interval{0, 50'000'000};
    nanosleep(&interval, nullptr);  // cut short by the signal itself
  }
}

}  // namespace lmdeploy::cli
