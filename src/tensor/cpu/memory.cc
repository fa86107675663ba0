#include "tensor/cpu/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace lmdeploy::cpu {

namespace {
// Smaller blocks come from malloc: a mapping costs a system call and at least a page.
constexpr size_t kMapBytes = size_t{256} << 10;
constexpr size_t kHugePageBytes = size_t{2} << 20;
constexpr size_t kPageBytes = 4096;

// Maps `bytes` at a multiple of the huge page.
void* map_aligned(size_t bytes) {
  const size_t reserved = bytes + kHugePageBytes;
  void* memory = mmap(nullptr, reserved, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t aligned = (address + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  const uintptr_t end = (aligned + bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  if (aligned > address) munmap(memory, aligned - address);
  if (address + reserved > end) munmap(reinterpret_cast<void*>(end), address + reserved - end);
  return reinterpret_cast<void*>(aligned);
}

}  // namespace

void* allocate(size_t bytes) {
  if (bytes < kMapBytes) {
    const size_t size = (bytes + 63) / 64 * 64 + 64;
    void* memory = std::aligned_alloc(64, size);
    if (memory != nullptr) std::memset(memory, 0, size);
    return memory;
  }
  void* memory = map_aligned(bytes);
  if (memory != nullptr && bytes >= kHugePageBytes) madvise(memory, bytes, MADV_HUGEPAGE);
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
