// wgmma with the first operand in registers: a warpgroup's asynchronous product D[64, kN] (+)=
// A[64, 16] B[16, kN], fp32 sums (PTX ISA 9.7.15). Fragments are those of mma.cuh, a warp
// having 16 rows: a[] as A there; d[j * 4 + 2 h + c] is row lane / 4 + 8 h, column 8 j + 2 (lane %
// 4) + c.
#pragma once

#include "kernels/cuda/gemm_wgmma_sm90.cuh"

namespace lmdeploy::cuda {

// B's rows of 64 elements (128 bytes) are swizzled over 128 bytes as a tensor copy writes them.
// kKeys, kept as [kN, 16] (rows of the 16): groups of 8 rows are 1,024 bytes apart; 16 elements
// further in the row is + 2. kValues, kept as [16, kN] (rows of kN): groups of 8 rows are 1,024
// bytes apart, columns 64 .. 127 wgmma_operand's `next_columns` bytes behind 0 .. 63; 16 rows
// further is + 128.
enum class WgmmaB { kKeys, kValues };

// d = a b + (accumulate ? d : 0).
template <class T, int kN, WgmmaB kB>
__device__ void wgmma(float (&d)[kN / 2], const uint32_t (&a)[4], uint64_t b, bool accumulate);

#define LMDEPLOY_SUMS4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define LMDEPLOY_SUMS16(i) \
  LMDEPLOY_SUMS4(i), LMDEPLOY_SUMS4(i + 4), LMDEPLOY_SUMS4(i + 8), LMDEPLOY_SUMS4(i + 12)
// REGS: the sums as operands %0 ...; A, B, P: the operands behind them.
#define LMDEPLOY_WGMMA(CPP, PTX, N, KIND, TRANSPOSED, REGS, A, B, P, ...)                          \
  template <>                                                                                      \
  __device__ __forceinline__ void wgmma<CPP, N, KIND>(float(&d)[N / 2], const uint32_t(&a)[4],     \
                                                      uint64_t b, bool accumulate) {               \
    asm volatile("{\n .reg .pred p;\n setp.ne.b32 p, " P                                           \
                 ", 0;\n"                                                                          \
                 " wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." PTX "." PTX " {" REGS "}, {" A \
                 "}, " B ", p, 1, 1, " TRANSPOSED ";\n}"                                           \
                 : __VA_ARGS__                                                                     \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),                             \
                   "r"(static_cast<int>(accumulate)));                                             \
  }
#define LMDEPLOY_WGMMA_KINDS(N, REGS, A, B, P, ...)                                        \
  LMDEPLOY_WGMMA(__half, "f16", N, WgmmaB::kKeys, "0", REGS, A, B, P, __VA_ARGS__)         \
  LMDEPLOY_WGMMA(__half, "f16", N, WgmmaB::kValues, "1", REGS, A, B, P, __VA_ARGS__)       \
  LMDEPLOY_WGMMA(__nv_bfloat16, "bf16", N, WgmmaB::kKeys, "0", REGS, A, B, P, __VA_ARGS__) \
  LMDEPLOY_WGMMA(__nv_bfloat16, "bf16", N, WgmmaB::kValues, "1", REGS, A, B, P, __VA_ARGS__)

LMDEPLOY_WGMMA_KINDS(
    64,
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,"
    "%22,%23,%24,%25,%26,%27,%28,%29,%30,%31",
    "%32,%33,%34,%35", "%36", "%37", LMDEPLOY_SUMS16(0), LMDEPLOY_SUMS16(16))
LMDEPLOY_WGMMA_KINDS(
    128,
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,"
    "%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,"
    "%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,"
    "%60,%61,%62,%63",
    "%64,%65,%66,%67", "%68", "%69", LMDEPLOY_SUMS16(0), LMDEPLOY_SUMS16(16), LMDEPLOY_SUMS16(32),
    LMDEPLOY_SUMS16(48))

#undef LMDEPLOY_WGMMA_KINDS
#undef LMDEPLOY_WGMMA
#undef LMDEPLOY_SUMS16
#undef LMDEPLOY_SUMS4

}  // namespace lmdeploy::cuda
