#include "engine/host_memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

namespace lmdeploy {

namespace {

namespace fs = std::filesystem;

constexpr size_t kUnknownMachine = size_t{1} << 30;

size_t machine_available(const fs::path& proc) {
  std::ifstream file(proc / "meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    size_t kib = 0;
    if (words >> key >> kib && key == "MemAvailable:") return kib << 10;
  }
  return kUnknownMachine;
}

// Where a version of control groups says what.
struct GroupFiles {
  const char *limit, *used, *inactive_file, *active_file;
};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file", "total_active_file"};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file", "active_file"};

std::optional<size_t> number_in(const fs::path& path) {
  size_t number = 0;
  if (std::ifstream(path) >> number) return number;
  return std::nullopt;  // no such file, or "max"
}

// What one group leaves; nullopt without a limit.
std::optional<size_t> group_left(const fs::path& group, const GroupFiles& files) {
  const std::optional<size_t> limit = number_in(group / files.limit);
  const std::optional<size_t> used = number_in(group / files.used);
  if (!limit || !used) return std::nullopt;
  size_t kept = *used;
  // File pages count as used, but the kernel drops them when memory is wanted.
  std::ifstream stat(group / "memory.stat");
  std::string key;
  for (size_t bytes = 0; stat >> key >> bytes;) {
    if (key == files.inactive_file || key == files.active_file) kept -= std::min(kept, bytes);
  }
  return *limit > kept ? *limit - kept : 0;
}

// The least that the group at `path` below `root` and those above it leave.
std::optional<size_t> tightest(const fs::path& root, fs::path path, const GroupFiles& files) {
  std::optional<size_t> least;
  for (path = path.relative_path();; path = path.parent_path()) {
    const std::optional<size_t> left = group_left(root / path, files);
    if (left && (!least || *left < *least)) least = left;
    if (path.empty()) return least;
  }
}

// Lines are "0::/path" (version 2) and "7:memory:/path" (version 1, one a controller).
std::optional<size_t> groups_left(const fs::path& proc, const fs::path& cgroups) {
  std::optional<size_t> least;
  std::ifstream file(proc / "self" / "cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const fs::path path = line.substr(second + 1);
    std::optional<size_t> left;
    if (controllers == ",,") left = tightest(cgroups, path, kVersion2);
    if (controllers.find(",memory,") != std::string::npos) {
      left = tightest(cgroups / "memory", path, kVersion1);
    }
    if (left && (!least || *left < *least)) least = left;
  }
  return least;
}

// What stacks and heaps of the threads that start later reserve of a process's own limits.
constexpr size_t kForThreads = size_t{512} << 20;

// The number behind `name` in lines of "name   number ...".
std::optional<size_t> number_behind(const fs::path& path, std::string_view name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream rest(line.substr(name.size()));
    size_t number = 0;
    if (rest >> number) return number;
    return std::nullopt;  // "unlimited"
  }
  return std::nullopt;
}

// What a limit of this process (setrlimit) leaves beside `used`; nullopt without a limit.
std::optional<size_t> process_left(const fs::path& self, std::string_view limit,
                                   std::string_view used) {
  const std::optional<size_t> bytes = number_behind(self / "limits", limit);
  const std::optional<size_t> used_kib = number_behind(self / "status", used);
  if (!bytes || !used_kib) return std::nullopt;
  const size_t taken = (*used_kib << 10) + kForThreads;
  return *bytes > taken ? *bytes - taken : 0;
}

}  // namespace

HostMemory host_memory(const std::string& proc, const std::string& cgroups) {
  HostMemory least{machine_available(proc), "the machine's MemAvailable"};
  const auto consider = [&](std::optional<size_t> left, const char* limit) {
    if (left && *left < least.available) least = {*left, limit};
  };
  const fs::path self = fs::path(proc) / "self";
  consider(groups_left(proc, cgroups), "this container's memory limit");
  consider(process_left(self, "Max address space", "VmSize:"),
           "this process's limit of address space, ulimit -v");
  consider(process_left(self, "Max data size", "VmData:"), "this process's limit of data, ulimit -d");
  return least;
}

}  // namespace lmdeploy
