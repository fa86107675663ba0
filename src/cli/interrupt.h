// Interrupts: Ctrl-C and SIGTERM as events that a thread can wait for or poll.
#pragma once

namespace lmdeploy::cli {

// While one exists, SIGINT (and SIGTERM where asked) set a flag instead of ending the program.
// One at a time.
class InterruptGuard {
 public:
  explicit InterruptGuard(bool terminate_too = false);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  // Signals since the guard was made or clear() was called.
  int count() const;
  void clear();
  // Blocks until the first signal.
  void wait() const;
  // From now on a signal ends the program again.
  void release();
};

}  // namespace lmdeploy::cli
