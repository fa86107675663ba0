// wgmma: a warpgroup's asynchronous product of two operands in shared memory (PTX ISA 9.7.15),
// D[64, kN] (+)= A[64, 16] B[kN, 16]^T, fp32 sums. Rows of both operands are 64 elements (128 bytes)
// of k, swizzled over 128 bytes as a tensor copy writes them, 1,024-byte aligned groups of 8 rows.
//
// D of thread t: element j * 4 + 2 h + c is row t / 32 * 16 + t % 32 / 4 + 8 h, column
// 8 j + t % 4 * 2 + c.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace lmdeploy::cuda {

// Describes an operand at a shared-memory address; 16 elements further along k is + 2.
// `next_columns`: bytes from columns 0 .. 63 to the next, of an operand that is kept transposed.
__device__ __forceinline__ uint64_t wgmma_operand(uint32_t address, int next_columns = 16) {
  constexpr uint64_t kRowGroup = 1024 >> 4, kSwizzle128 = 1;
  return (static_cast<uint64_t>(address & 0x3FFFF) >> 4) |
         (static_cast<uint64_t>(next_columns >> 4) << 16) | (kRowGroup << 32) | (kSwizzle128 << 62);
}

// Before the first wgmma, and after other code touched the sums.
__device__ __forceinline__ void wgmma_begin() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most kGroups committed groups run.
template <int kGroups>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}
// Keeps the compiler from moving uses of the sums across this point.
template <int kCount>
__device__ __forceinline__ void pin_sums(float (&sums)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

// d = a b + (accumulate ? d : 0).
template <class T, int kN>
__device__ void wgmma(float (&d)[kN / 2], uint64_t a, uint64_t b, bool accumulate);

#define LMDEPLOY_REGS10(tens)                                                                    \
  "%" tens "0, %" tens "1, %" tens "2, %" tens "3, %" tens "4, %" tens "5, %" tens "6, %" tens   \
  "7, %" tens "8, %" tens "9"
#define LMDEPLOY_SUMS4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define LMDEPLOY_SUMS16(i) \
  LMDEPLOY_SUMS4(i), LMDEPLOY_SUMS4(i + 4), LMDEPLOY_SUMS4(i + 8), LMDEPLOY_SUMS4(i + 12)
#define LMDEPLOY_SUMS64(i) \
  LMDEPLOY_SUMS16(i), LMDEPLOY_SUMS16(i + 16), LMDEPLOY_SUMS16(i + 32), LMDEPLOY_SUMS16(i + 48)

// REGS: the sums as operands %0 ...; A, B, P: the operands behind them.
#define LMDEPLOY_WGMMA(CPP, PTX, N, REGS, A, B, P, ...)                                          \
  template <>                                                                                    \
  __device__ __forceinline__ void wgmma<CPP, N>(float(&d)[N / 2], uint64_t a, uint64_t b,        \
                                                bool accumulate) {                               \
    asm volatile(                                                                                \
        "{\n .reg .pred p;\n setp.ne.b32 p, " P ", 0;\n"                                         \
        " wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." PTX "." PTX " {" REGS "}, " A ", " B  \
        ", p, 1, 1, 0, 0;\n}"                                                                    \
        : __VA_ARGS__                                                                            \
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)));                                    \
  }
#define LMDEPLOY_WGMMA_TYPES(N, REGS, A, B, P, ...)                        \
  LMDEPLOY_WGMMA(__half, "f16", N, REGS, A, B, P, __VA_ARGS__)             \
  LMDEPLOY_WGMMA(__nv_bfloat16, "bf16", N, REGS, A, B, P, __VA_ARGS__)

LMDEPLOY_WGMMA_TYPES(8, "%0,%1,%2,%3", "%4", "%5", "%6", LMDEPLOY_SUMS4(0))
LMDEPLOY_WGMMA_TYPES(16, "%0,%1,%2,%3,%4,%5,%6,%7", "%8", "%9", "%10", LMDEPLOY_SUMS4(0),
                     LMDEPLOY_SUMS4(4))
LMDEPLOY_WGMMA_TYPES(32, LMDEPLOY_REGS10("") ",%10,%11,%12,%13,%14,%15", "%16", "%17", "%18",
                     LMDEPLOY_SUMS16(0))
LMDEPLOY_WGMMA_TYPES(64, LMDEPLOY_REGS10("") "," LMDEPLOY_REGS10("1") "," LMDEPLOY_REGS10("2")
                     ",%30,%31", "%32", "%33", "%34", LMDEPLOY_SUMS16(0), LMDEPLOY_SUMS16(16))
LMDEPLOY_WGMMA_TYPES(128, LMDEPLOY_REGS10("") "," LMDEPLOY_REGS10("1") "," LMDEPLOY_REGS10("2")
                     "," LMDEPLOY_REGS10("3") "," LMDEPLOY_REGS10("4") "," LMDEPLOY_REGS10("5")
                     ",%60,%61,%62,%63", "%64", "%65", "%66", LMDEPLOY_SUMS64(0))
LMDEPLOY_WGMMA_TYPES(256, LMDEPLOY_REGS10("") "," LMDEPLOY_REGS10("1") "," LMDEPLOY_REGS10("2")
                     "," LMDEPLOY_REGS10("3") "," LMDEPLOY_REGS10("4") "," LMDEPLOY_REGS10("5")
                     "," LMDEPLOY_REGS10("6") "," LMDEPLOY_REGS10("7") "," LMDEPLOY_REGS10("8")
                     "," LMDEPLOY_REGS10("9") "," LMDEPLOY_REGS10("10") "," LMDEPLOY_REGS10("11")
                     ",%120,%121,%122,%123,%124,%125,%126,%127", "%128", "%129", "%130",
                     LMDEPLOY_SUMS64(0), LMDEPLOY_SUMS64(64))

#undef LMDEPLOY_WGMMA_TYPES
#undef LMDEPLOY_WGMMA
#undef LMDEPLOY_SUMS64
#undef LMDEPLOY_SUMS16
#undef LMDEPLOY_SUMS4
#undef LMDEPLOY_REGS10

}  // namespace lmdeploy::cuda
