// How much memory this process may still take.
#pragma once

#include <cstddef>
#include <string>

namespace lmdeploy {

struct HostMemory {
  size_t available = 0;  // bytes; pages that only cache files count as available
  std::string limit;     // what sets the bound, for messages
};

// The least of the machine's MemAvailable, what the control groups of this process (version 2 or 1,
// and those above them) leave, and what its own limits (RLIMIT_AS, RLIMIT_DATA) leave beside what
// its threads reserve. The arguments are for tests.
HostMemory host_memory(const std::string& proc = "/proc",
                       const std::string& cgroups = "/sys/fs/cgroup");

}  // namespace lmdeploy
