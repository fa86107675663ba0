// MappedFile: a file's bytes, mapped read-only; pages come from the page cache when touched.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace lmdeploy {

// Owns the mapping; moves. Reading is thread-safe. A file that another program truncates while it
// is mapped raises SIGBUS on access: nothing in this process can prevent that.
class MappedFile {
 public:
  // kNotFound when there is no such file, kInvalidArgument for a directory or an empty file.
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

// Asks the kernel to map the pages of these bytes at once, reading what is not in memory.
void prefault_pages(const std::byte* data, size_t size);

// Drops the pages that lie wholly inside [data, data + size) from this process's memory. They stay
// in the page cache and come back when touched.
void release_pages(const std::byte* data, size_t size);

}  // namespace lmdeploy
