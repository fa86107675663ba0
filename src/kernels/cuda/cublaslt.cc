#include "kernels/cuda/cublaslt.h"

#include <dlfcn.h>

#include <array>
#include <map>
#include <tuple>

namespace lmdeploy::cuda {

namespace {

// The part of cuBLASLt's C interface that is used, as its reference documents it. Handles are
// opaque pointers; 0 is success everywhere.
constexpr int kCompute32F = 68;
constexpr int kDescTransA = 3;
constexpr int kTransposed = 1;
constexpr int kPreferenceWorkspace = 1;
constexpr int kPreferenceAlignmentA = 5;  // then B, C and D

using Algorithm = std::array<uint64_t, 8>;
struct Heuristic {
  Algorithm algorithm;
  size_t workspace_bytes;
  int status;
  float waves;
  int reserved[4];
};

int cuda_type(DType dtype) {
  return dtype == DType::kF32 ? CUDA_R_32F : dtype == DType::kF16 ? CUDA_R_16F : CUDA_R_16BF;
}

void* open_library() {
  for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

}  // namespace

struct CublasLt::Library {
  int (*create)(void**);
  int (*destroy)(void*);
  int (*desc_create)(void**, int, int);
  int (*desc_destroy)(void*);
  int (*desc_set)(void*, int, const void*, size_t);
  int (*layout_create)(void**, int, uint64_t, uint64_t, int64_t);
  int (*layout_destroy)(void*);
  int (*preference_create)(void**);
  int (*preference_destroy)(void*);
  int (*preference_set)(void*, int, const void*, size_t);
  int (*heuristic)(void*, void*, void*, void*, void*, void*, void*, int, Heuristic*, int*);
  int (*matmul)(void*, void*, const void*, const void*, void*, const void*, void*, const void*,
                const void*, void*, void*, void*, const Algorithm*, void*, size_t, cudaStream_t);

  // What the algorithm of a product depends on.
  using Key = std::tuple<DType, int64_t, int64_t, int64_t, int64_t, int64_t, bool, bool>;
  struct Plan {
    void* desc = nullptr;
    void* weights = nullptr;
    void* x = nullptr;
    void* out = nullptr;
    Algorithm algorithm{};
    bool works = false;
  };

  void* library = nullptr;
  void* handle = nullptr;
  void* preference = nullptr;
  std::map<Key, Plan> plans;

  bool load();
  const Plan& plan_of(const Product& product);
  Plan make_plan(const Product& product);
  void release(const Plan& plan);
  ~Library();
};

bool CublasLt::Library::load() {
  library = open_library();
  if (library == nullptr) return false;
  bool complete = true;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    complete = complete && function != nullptr;
  };
  find(create, "cublasLtCreate");
  find(destroy, "cublasLtDestroy");
  find(desc_create, "cublasLtMatmulDescCreate");
  find(desc_destroy, "cublasLtMatmulDescDestroy");
  find(desc_set, "cublasLtMatmulDescSetAttribute");
  find(layout_create, "cublasLtMatrixLayoutCreate");
  find(layout_destroy, "cublasLtMatrixLayoutDestroy");
  find(preference_create, "cublasLtMatmulPreferenceCreate");
  find(preference_destroy, "cublasLtMatmulPreferenceDestroy");
  find(preference_set, "cublasLtMatmulPreferenceSetAttribute");
  find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(matmul, "cublasLtMatmul");
  if (!complete || create(&handle) != 0 || preference_create(&preference) != 0) return false;
  const size_t workspace = kWorkspaceBytes;
  if (preference_set(preference, kPreferenceWorkspace, &workspace, sizeof workspace) != 0)
    return false;
  const uint32_t alignment = 16;
  for (int operand = 0; operand < 4; ++operand) {
    if (preference_set(preference, kPreferenceAlignmentA + operand, &alignment, sizeof alignment) !=
        0) {
      return false;
    }
  }
  return true;
}

CublasLt::Library::~Library() {
  for (const auto& [key, plan] : plans) release(plan);
  if (preference != nullptr) preference_destroy(preference);
  if (handle != nullptr) destroy(handle);
  if (library != nullptr) dlclose(library);
}

void CublasLt::Library::release(const Plan& plan) {
  for (void* layout : {plan.weights, plan.x, plan.out}) {
    if (layout != nullptr) layout_destroy(layout);
  }
  if (plan.desc != nullptr) desc_destroy(plan.desc);
}

// The library's matrices are column-major: ours of [rows, columns] are its [columns, rows].
CublasLt::Library::Plan CublasLt::Library::make_plan(const Product& p) {
  Plan plan;
  const int type = cuda_type(p.dtype), out_type = p.f32 ? CUDA_R_32F : type;
  const auto n = static_cast<uint64_t>(p.n), k = static_cast<uint64_t>(p.k),
             rows = static_cast<uint64_t>(p.rows);
  const int transposed = kTransposed;
  if (desc_create(&plan.desc, kCompute32F, CUDA_R_32F) != 0 ||
      desc_set(plan.desc, kDescTransA, &transposed, sizeof transposed) != 0 ||
      layout_create(&plan.weights, type, k, n, p.k) != 0 ||
      layout_create(&plan.x, type, k, rows, p.x_stride) != 0 ||
      layout_create(&plan.out, out_type, n, rows, p.out_stride) != 0) {
    return plan;
  }
  Heuristic best{};
  int found = 0;
  plan.works = heuristic(handle, plan.desc, plan.weights, plan.x, plan.out, plan.out, preference, 1,
                         &best, &found) == 0 &&
               found == 1 && best.status == 0;
  plan.algorithm = best.algorithm;
  return plan;
}

const CublasLt::Library::Plan& CublasLt::Library::plan_of(const Product& p) {
  constexpr size_t kMostPlans = 4096;  // chunks of prompts come in many lengths
  const Key key{p.dtype, p.rows, p.n, p.k, p.x_stride, p.out_stride, p.f32, p.add};
  if (const auto known = plans.find(key); known != plans.end()) return known->second;
  if (plans.size() >= kMostPlans) {
    for (const auto& [old, plan] : plans) release(plan);
    plans.clear();
  }
  return plans.emplace(key, make_plan(p)).first->second;
}

CublasLt::CublasLt() : library_(std::make_unique<Library>()) {
  if (!library_->load()) library_.reset();
}
CublasLt::~CublasLt() = default;

bool CublasLt::multiply(const Product& p, void* workspace, cudaStream_t stream) {
  if (library_ == nullptr) return false;
  const Library::Plan& plan = library_->plan_of(p);
  if (!plan.works) return false;
  const float one = 1, beta = p.add ? 1 : 0;
  return library_->matmul(library_->handle, plan.desc, &one, p.weights, plan.weights, p.x, plan.x,
                          &beta, p.out, plan.out, p.out, plan.out, &plan.algorithm, workspace,
                          kWorkspaceBytes, stream) == 0;
}

}  // namespace lmdeploy::cuda
