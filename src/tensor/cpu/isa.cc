#include "tensor/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

namespace lmdeploy {

namespace {

constexpr const char* kNames[] = {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amx"};

// Linux gives a process AMX tile registers only on request (arch_prctl(2)).
bool request_amx_tiles() {
  constexpr long kArchReqXcompPerm = 0x1023, kXfeatureXtiledata = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

bool cpu_has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kAmx = 1u << 22 | 1u << 24 | 1u << 25;  // bf16, tile, int8
  return (d & kAmx) == kAmx;
}

bool cpu_has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & 1u << 29) != 0;
}

bool cpu_has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1u << 4) != 0;
}

bool cpu_has_avx512_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1u << 5) != 0;
}

}  // namespace

CpuIsa CpuIsa::detect() {
  CpuIsa isa;
  isa.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi2") && cpu_has_f16c();
  if (!isa.avx2) return isa;
  isa.avx_vnni = cpu_has_avx_vnni();
  isa.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!isa.avx512) return isa;
  isa.avx512_vnni = __builtin_cpu_supports("avx512vnni");
  isa.avx512_bf16 = isa.avx512_vnni && cpu_has_avx512_bf16();
  isa.amx = isa.avx512_bf16 && cpu_has_amx() && request_amx_tiles();
  return isa;
}

Result<CpuIsa> CpuIsa::named(std::string_view name) {
  const CpuIsa machine = detect();
  CpuIsa isa;
  bool has = true;
  if (name == "scalar") {
  } else if (name == "avx2") {
    isa.avx2 = has = machine.avx2;
  } else if (name == "avxvnni") {
    isa.avx2 = isa.avx_vnni = has = machine.avx_vnni;
  } else if (name == "avx512") {
    isa.avx2 = isa.avx512 = has = machine.avx512;
  } else if (name == "avx512vnni") {
    isa.avx2 = isa.avx512 = isa.avx512_vnni = has = machine.avx512_vnni;
  } else if (name == "avx512bf16") {
    isa.avx2 = isa.avx512 = isa.avx512_vnni = isa.avx512_bf16 = has = machine.avx512_bf16;
  } else if (name == "amx") {
    isa.avx2 = isa.avx512 = isa.avx512_vnni = isa.avx512_bf16 = isa.amx = has = machine.amx;
  } else {
    return invalid_argument(
        "LMDEPLOY_CPU_ISA is '{}'; expected scalar, avx2, avxvnni, avx512, avx512vnni, avx512bf16 or amx",
        name);
  }
  if (!has) {
    return unsupported("LMDEPLOY_CPU_ISA is '{}', which this processor does not have; it has {}", name,
                       machine.name());
  }
  return isa;
}

Result<CpuIsa> CpuIsa::from_environment() {
  const char* name = std::getenv("LMDEPLOY_CPU_ISA");
  if (name == nullptr || *name == '\0') return detect();
  return named(name);
}

std::vector<std::string> CpuIsa::available() {
  std::vector<std::string> names;
  for (const char* name : kNames) {
    if (named(name).ok()) names.emplace_back(name);
  }
  return names;
}

std::string CpuIsa::name() const {
  if (amx) return "amx";
  if (avx512_bf16) return "avx512bf16";
  if (avx512_vnni) return "avx512vnni";
  if (avx512) return "avx512";
  if (avx_vnni) return "avxvnni";
  return avx2 ? "avx2" : "scalar";
}

}  // namespace lmdeploy
