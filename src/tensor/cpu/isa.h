// CpuIsa: the instruction sets that CPU kernels may use, from cpuid and the operating system,
// lowered by LMDEPLOY_CPU_ISA.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

struct CpuIsa {
  bool avx2 = false;         // AVX2 + FMA + F16C
  bool avx_vnni = false;     // 256-bit vpdpbusd without AVX-512
  bool avx512 = false;       // F BW VL DQ
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool amx = false;          // tile + int8 + bf16, permitted by the kernel

  // What this machine has (asks the kernel for AMX tile state on first use).
  static CpuIsa detect();
  // detect() lowered to `name`: "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16",
  // "amx". kInvalidArgument for another name, kUnsupported for one this machine does not have.
  static Result<CpuIsa> named(std::string_view name);
  // named(LMDEPLOY_CPU_ISA) when that is set, else detect().
  static Result<CpuIsa> from_environment();
  // Every name that named() accepts on this machine, weakest first.
  static std::vector<std::string> available();
  // Strongest set's name.
  std::string name() const;
};

}  // namespace lmdeploy
