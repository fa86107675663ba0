// Time of matmul for the shapes of SmolLM2-135M and of an 8B Llama, beside what this machine can
// read and multiply, measured in the same run.
//   matmul_bench [--isa NAME]... [--threads N] [--only SUBSTRING]
#include <immintrin.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/matmul.h"

namespace lmdeploy {
namespace {

struct Case {
  const char* name;
  int64_t n, k;
  DType format;
};

constexpr Case kCases[] = {
    {"smollm2 qkv", 960, 576, DType::kQ4_1},      {"smollm2 o", 576, 576, DType::kQ4_1},
    {"smollm2 gate_up", 3072, 576, DType::kQ4_1}, {"smollm2 down", 576, 1536, DType::kQ4_1},
    {"smollm2 lm_head", 49152, 576, DType::kQ8_0}, {"gemma3 gate_up", 4096, 640, DType::kQ5_0},
    {"gemma3 down", 640, 2048, DType::kQ6_K},
    {"llama8b o", 4096, 4096, DType::kQ4_K},      {"llama8b o", 4096, 4096, DType::kQ8_0},
    {"llama8b o", 4096, 4096, DType::kBF16},
};
constexpr int64_t kRows[] = {1, 4, 16, 64, 512};

// Seconds on the clock that suits the number of threads: with one thread its CPU time, so that
// other programs on the machine do not count.
double now(int threads) {
  timespec time{};
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Median time of one call of fn(i), i = 0, 1, ..., called for `budget` seconds and at least 5 times.
double median_seconds(int threads, double budget, const std::function<void(size_t)>& fn) {
  fn(0);
  const double begin = now(threads);
  std::vector<double> times;
  for (size_t i = 1; i <= 5 || now(threads) - begin < budget; ++i) {
    const double start = now(threads);
    fn(i);
    times.push_back(now(threads) - start);
  }
  std::nth_element(times.begin(), times.begin() + static_cast<ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

// GB/s of all threads reading disjoint parts of 1 GiB, measured on pieces of 16 MiB.
double read_bandwidth(ThreadPool& pool) {
  constexpr int64_t kLines = (int64_t{1} << 30) / 64, kPiece = (int64_t{16} << 20) / 64;
  Tensor memory(Shape{kLines * 64}, DType::kU8);
  std::memset(memory.data<char>(), 1, memory.bytes());
  std::vector<uint64_t> sums(static_cast<size_t>(pool.size()) * 8);
  const double seconds = median_seconds(pool.size(), 1.0, [&](size_t piece) {
    const int64_t from = static_cast<int64_t>(piece) * kPiece % kLines;
    pool.parallel_for(kPiece, kPiece / pool.size(), [&](int64_t begin, int64_t end) {
      const __m128i* at = memory.data<__m128i>() + 4 * from;
      __m128i sum[4] = {};
      for (int64_t i = begin; i < end; ++i) {
        _mm_prefetch(reinterpret_cast<const char*>(at + 4 * i + 128), _MM_HINT_T0);
        sum[0] = _mm_add_epi64(sum[0], _mm_load_si128(at + 4 * i));
        sum[1] = _mm_add_epi64(sum[1], _mm_load_si128(at + 4 * i + 1));
        sum[2] = _mm_add_epi64(sum[2], _mm_load_si128(at + 4 * i + 2));
        sum[3] = _mm_add_epi64(sum[3], _mm_load_si128(at + 4 * i + 3));
      }
      const __m128i total = _mm_add_epi64(_mm_add_epi64(sum[0], sum[1]), _mm_add_epi64(sum[2], sum[3]));
      sums[static_cast<size_t>(begin * pool.size() / kPiece * 8)] = static_cast<uint64_t>(_mm_cvtsi128_si64(total));
    });
  });
  return static_cast<double>(kPiece * 64) / seconds * 1e-9;
}

constexpr int64_t kPeakLoops = 100'000;

// 12 independent chains keep both ports busy over the latency of 5 cycles. The compiler must not know
// that they are equal, or it would make them one.
__attribute__((target("avx512f,avx512vnni"))) void vnni_loop() {
  __m512i a[12], one = _mm512_set1_epi8(1);
#pragma GCC unroll 12
  for (int lane = 0; lane < 12; ++lane) {
    a[lane] = one;
    asm volatile("" : "+v"(a[lane]));
  }
  for (int64_t i = 0; i < kPeakLoops; ++i) {
#pragma GCC unroll 12
    for (int lane = 0; lane < 12; ++lane) a[lane] = _mm512_dpbusd_epi32(a[lane], one, one);
  }
#pragma GCC unroll 12
  for (int lane = 0; lane < 12; ++lane) asm volatile("" : : "v"(a[lane]));
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

__attribute__((target("amx-tile,amx-int8"))) void amx_loop() {
  const TileConfig config;
  asm volatile("ldtilecfg %0" : : "m"(config));
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
  for (int64_t i = 0; i < kPeakLoops / 8; ++i) {
    _tile_dpbssd(0, 4, 6); _tile_dpbssd(1, 4, 7); _tile_dpbssd(2, 5, 6); _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
}

// Integer operations (2 per multiply-add) a second of all threads, in units of 1e9.
double peak_gops(ThreadPool& pool, double ops_per_thread, void (*loop)()) {
  return ops_per_thread * pool.size() / median_seconds(pool.size(), 0.2, [&](size_t) { pool.run([&](int) { loop(); }); }) * 1e-9;
}

// Random codes under small scales; plain values as trained weights have them (no denormal numbers).
std::vector<std::byte> random_weight(const Case& c) {
  const DTypeInfo& info = dtype_info(c.format);
  std::vector<std::byte> data(static_cast<size_t>(c.n * dtype_bytes(c.format, c.k)));
  if (c.format == DType::kBF16) {
    for (size_t i = 0; i < data.size(); i += 2) {
      const bf16 value = to_bf16(static_cast<float>(0.02 * hash_normal(1, i)));
      std::memcpy(data.data() + i, &value, 2);
    }
    return data;
  }
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(hash_random(1, i) & 255);
  const f16 small = to_f16(0.01f);
  const auto block = static_cast<size_t>(info.block_bytes);
  for (size_t at = 0; at < data.size(); at += block) {
    std::memcpy(data.data() + at + (c.format == DType::kQ6_K ? block - 2 : 0), &small, 2);
    const bool min = c.format == DType::kQ4_1 || c.format == DType::kQ4_K;
    if (min) std::memcpy(data.data() + at + 2, &small, 2);
  }
  return data;
}

struct Machine {
  double read_gbs, gops;
};

void run_case(const Case& c, CpuStream& stream, const Machine& machine) {
  const std::vector<std::byte> data = random_weight(c);
  const RowSource source{c.format, c.n, c.k, data.data(), data.size() / static_cast<size_t>(c.n), {}};
  // Copies that exceed the caches, as the layers of a model do.
  constexpr size_t kResident = size_t{160} << 20;
  std::vector<PackedMatrix> copies;
  WeightArena memory;
  do {
    copies.push_back(pack_matrix({&source, 1}, c.format, &memory));
  } while (copies.size() * copies[0].storage.bytes() < kResident);
  Arena scratch{Device{}};
  Ctx ctx{stream, scratch};
  for (int64_t rows : kRows) {
    Tensor x(Shape{rows, c.k}, DType::kF32), out(Shape{rows, c.n}, DType::kF32);
    for (int64_t i = 0; i < rows * c.k; ++i) x.data<float>()[i] = static_cast<float>(hash_normal(2, static_cast<uint64_t>(i)));
    const double operations = 2.0 * static_cast<double>(rows * c.n * c.k);
    const double seconds = median_seconds(stream.pool().size(), 0.25, [&](size_t i) {
      matmul(ctx, x, copies[i % copies.size()], {}, out);
    });
    const double gbs = static_cast<double>(copies[0].storage.bytes()) / seconds * 1e-9;
    const double gops = operations / seconds * 1e-9;
    std::printf("| %s | %lldx%lld %s | %lld | %.1f | %.1f | %.0f%% | %.0f | %.0f%% |\n", c.name,
                static_cast<long long>(c.n), static_cast<long long>(c.k), dtype_name(c.format),
                static_cast<long long>(rows), seconds * 1e6, gbs, 100 * gbs / machine.read_gbs, gops,
                100 * gops / machine.gops);
    std::fflush(stdout);
  }
}

int run(const std::vector<std::string>& isas, int threads, const std::string& only) {
  CpuStream machine_stream(threads, CpuIsa::detect());
  ThreadPool& pool = machine_stream.pool();
  const double read = read_bandwidth(pool);
  std::printf("threads %d; read %.1f GB/s\n", pool.size(), read);
  double vnni = 1, amx = 1;
  if (machine_stream.isa().avx512_vnni) {
    vnni = peak_gops(pool, 12.0 * 128 * kPeakLoops, vnni_loop);
    std::printf("vpdpbusd %.0f GOPS\n", vnni);
  }
  if (machine_stream.isa().amx) {
    amx = peak_gops(pool, 4.0 * 32768 * (kPeakLoops / 8), amx_loop);
    std::printf("tdpbssd %.0f GOPS, tdpbf16ps half of it\n", amx);
  }
  for (const std::string& name : isas) {
    Result<CpuIsa> isa = CpuIsa::named(name);
    if (!isa.ok()) {
      std::fprintf(stderr, "%s\n", isa.status().message().c_str());
      return 1;
    }
    CpuStream stream(threads, *isa);
    std::printf("\n## %s\n\n| layer | weight | rows | us | GB/s | of read | GOPS | of %s |\n"
                "|---|---|---:|---:|---:|---:|---:|---:|\n",
                name.c_str(), isa->amx ? "tdpbf16ps" : "vpdpbusd");
    for (const Case& c : kCases) {
      if (std::string(c.name).find(only) == std::string::npos) continue;
      run_case(c, stream, {read, isa->amx ? amx / 2 : vnni});
    }
  }
  return 0;
}

}  // namespace
}  // namespace lmdeploy

namespace {

constexpr const char* kUsage =
    "usage: matmul_bench [--isa NAME]... [--threads N] [--only SUBSTRING]\n"
    "  --isa NAME        an instruction set, as LMDEPLOY_CPU_ISA names it; more than one may be given\n"
    "                    (default: the best of this machine)\n"
    "  --threads N       1 or more (default: the cores this process may use)\n"
    "  --only SUBSTRING  layers whose name contains it\n";

struct Flags {
  std::vector<std::string> isas;
  int threads = 0;
  std::string only;
};

int fail(const std::string& message) {
  std::fprintf(stderr, "matmul_bench: %s\n%s", message.c_str(), kUsage);
  return 2;
}

// 0, or the exit code after having said why.
int parse(int argc, char** argv, Flags& flags) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name != "--isa" && name != "--threads" && name != "--only") return fail("unknown argument '" + name + "'");
    if (i + 1 == argc) return fail(name + " needs a value");
    const std::string value = argv[i + 1];
    if (name == "--isa") {
      flags.isas.push_back(value);
    } else if (name == "--only") {
      flags.only = value;
    } else {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), flags.threads);
      if (error != std::errc() || *end != '\0' || flags.threads < 1) return fail("--threads is '" + value + "'; expected 1 or more");
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--help") == 0) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  Flags flags;
  if (const int code = parse(argc, argv, flags); code != 0) return code;
  if (flags.isas.empty()) flags.isas.push_back(lmdeploy::CpuIsa::detect().name());
  return lmdeploy::run(flags.isas, flags.threads, flags.only);
}
