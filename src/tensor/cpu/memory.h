// CPU memory behind device_allocate: pages straight from the kernel, zeroed on first touch, huge
// pages where they help.
#pragma once

#include <cstddef>

namespace lmdeploy::cpu {

// nullptr when there is not enough. Pages are touched by their first user (NUMA first touch).
void* allocate(size_t bytes);
void free(void* memory, size_t bytes);

}  // namespace lmdeploy::cpu
