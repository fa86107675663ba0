#include "tensor/cpu/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace lmdeploy::cpu {

namespace {
// Smaller blocks come from malloc: a mapping costs a system call and at least a page.
constexpr size_t kMapBytes = size_t{256} << 10;
constexpr size_t kHugePageBytes = size_t{2} << 20;
}  // namespace

void* allocate(size_t bytes) {
  if (bytes < kMapBytes) {
    const size_t size = (bytes + 63) / 64 * 64 + 64;
    void* memory = std::aligned_alloc(64, size);
    if (memory != nullptr) std::memset(memory, 0, size);
    return memory;
  }
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  if (bytes >= kHugePageBytes) madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

void free(void* memory, size_t bytes) {
  if (bytes < kMapBytes) {
    std::free(memory);
  } else {
    munmap(memory, bytes);
  }
}

}  // namespace lmdeploy::cpu
