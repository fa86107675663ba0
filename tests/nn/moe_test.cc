// The same experts in every form that checkpoints have them in.
#include "nn/moe.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

#include "base/json.h"
#include "base/random.h"
#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy {
namespace {

constexpr int kExperts = 3;
constexpr int64_t kHidden = 64, kSize = 96, kTokens = 5;

// Values that MXFP4 can hold: a sign, one of eight sizes and a scale for 32 neighbours in a row.
struct Mxfp4Matrix {
  Mxfp4Matrix(uint64_t key, int64_t rows, int64_t columns) : rows(rows), columns(columns) {
    constexpr std::array<float, 8> kSizes = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    for (int64_t i = 0; i < rows * columns; ++i) {
      const auto random = static_cast<uint64_t>(std::fabs(hash_normal(key, i)) * 1e6);
      if (i % 32 == 0) scales.push_back(static_cast<uint8_t>(122 + random % 3));
      const auto code = static_cast<uint8_t>(random / 8 % 16);
      if (i % 2 == 0) {
        codes.push_back(code);
      } else {
        codes.back() = static_cast<uint8_t>(codes.back() | code << 4);
      }
      values.push_back(std::ldexp(kSizes[code % 8], scales.back() - 127) *
                       (code < 8 ? 1.0f : -1.0f));
    }
  }
  float at(int64_t r, int64_t c) const { return values[static_cast<size_t>(r * columns + c)]; }

  int64_t rows, columns;
  std::vector<uint8_t> codes, scales;
  std::vector<float> values;
};

class FileWriter {
 public:
  template <class T>
  void add(const std::string& name, const char* dtype, json::array shape,
           const std::vector<T>& values) {
    const size_t begin = data_.size();
    data_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    header_[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {begin, data_.size()}}};
  }
  std::string file() const { return safetensors_file(to_json_text(header_), data_); }

 private:
  json::object header_;
  std::string data_;
};

class MoeTest : public ::testing::Test {
 public:
  MoeTest() {
    for (uint64_t e = 0; e < kExperts; ++e) {
      gate_.emplace_back(10 + e, kSize, kHidden);
      up_.emplace_back(20 + e, kSize, kHidden);
      down_.emplace_back(30 + e, kHidden, kSize);
    }
    options_.weights = DType::kF32;
  }

  // Element (e, r, c) of a tensor [kExperts, rows, columns].
  template <class Value>
  static std::vector<float> tensor(int64_t rows, int64_t columns, Value value) {
    std::vector<float> all;
    for (size_t e = 0; e < kExperts; ++e) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c) all.push_back(value(e, r, c));
      }
    }
    return all;
  }

  void write_separate(FileWriter& file) {
    for (size_t e = 0; e < kExperts; ++e) {
      const std::string prefix = "mlp.experts." + std::to_string(e);
      file.add(prefix + ".w1.weight", "F32", {kSize, kHidden}, gate_[e].values);
      file.add(prefix + ".w3.weight", "F32", {kSize, kHidden}, up_[e].values);
      file.add(prefix + ".w2.weight", "F32", {kHidden, kSize}, down_[e].values);
    }
  }
  void write_stacked(FileWriter& file) {
    file.add("mlp.experts.gate_up_proj", "F32", {kExperts, 2 * kSize, kHidden},
             tensor(2 * kSize, kHidden, [&](size_t e, int64_t r, int64_t c) {
               return r < kSize ? gate_[e].at(r, c) : up_[e].at(r - kSize, c);
             }));
    file.add(
        "mlp.experts.down_proj", "F32", {kExperts, kHidden, kSize},
        tensor(kHidden, kSize, [&](size_t e, int64_t r, int64_t c) { return down_[e].at(r, c); }));
  }
  void write_rows(FileWriter& file) {
    const auto rows = [&](const std::vector<Mxfp4Matrix>& of, bool transposed) {
      return tensor(kSize, kHidden, [&](size_t e, int64_t r, int64_t c) {
        return transposed ? of[e].at(c, r) : of[e].at(r, c);
      });
    };
    const json::array shape = {kExperts * kSize, kHidden};
    file.add("mlp.experts.mlp.w1", "F32", shape, rows(gate_, false));
    file.add("mlp.experts.mlp.v1", "F32", shape, rows(up_, false));
    file.add("mlp.experts.mlp.w2", "F32", shape, rows(down_, true));
  }
  void write_input_first(FileWriter& file) {
    file.add("mlp.experts.gate_up_proj", "F32", {kExperts, kHidden, 2 * kSize},
             tensor(kHidden, 2 * kSize, [&](size_t e, int64_t r, int64_t c) {
               return (c % 2 == 0 ? gate_ : up_)[e].at(c / 2, r);
             }));
    file.add(
        "mlp.experts.down_proj", "F32", {kExperts, kSize, kHidden},
        tensor(kSize, kHidden, [&](size_t e, int64_t r, int64_t c) { return down_[e].at(c, r); }));
  }
  void write_mxfp4(FileWriter& file) {
    std::vector<uint8_t> codes, scales, down_codes, down_scales;
    const auto append = [](std::vector<uint8_t>& to, const std::vector<uint8_t>& from, int64_t row,
                           int64_t bytes) {
      to.insert(to.end(), from.begin() + row * bytes, from.begin() + (row + 1) * bytes);
    };
    for (size_t e = 0; e < kExperts; ++e) {
      for (int64_t r = 0; r < kSize; ++r) {
        for (const auto* of : {&gate_[e], &up_[e]}) {
          append(codes, of->codes, r, kHidden / 2);
          append(scales, of->scales, r, kHidden / 32);
        }
      }
      append(down_codes, down_[e].codes, 0, kHidden * kSize / 2);
      append(down_scales, down_[e].scales, 0, kHidden * kSize / 32);
    }
    const std::string experts = "mlp.experts.";
    file.add(experts + "gate_up_proj_blocks", "U8", {kExperts, 2 * kSize, kHidden / 32, 16}, codes);
    file.add(experts + "gate_up_proj_scales", "U8", {kExperts, 2 * kSize, kHidden / 32}, scales);
    file.add(experts + "down_proj_blocks", "U8", {kExperts, kHidden, kSize / 32, 16}, down_codes);
    file.add(experts + "down_proj_scales", "U8", {kExperts, kHidden, kSize / 32}, down_scales);
  }

  // The layer's output; for one rank of several, its part of it.
  Tensor run(const FileWriter& file, const MoeConfig& config, Parallel parallel = {}) {
    TemporaryDirectory directory;
    directory.write("config.json", R"({"architectures":["A"]})");
    directory.write("model.safetensors", file.file());
    const auto checkpoint = Checkpoint::open(directory.path()).value();
    BuildOptions options = options_;
    options.parallel = parallel;
    options.checkpoint = checkpoint.get();
    LoadPlan plan;
    const MoeMlp moe(Weights(plan) / "mlp", options, config);
    Status status = plan.check(*checkpoint);
    CHECK(status.ok(), "{}", status.message());
    const size_t expected_bytes = plan.bytes(*checkpoint);
    status = plan.execute(*checkpoint, stream_.pool());
    CHECK(status.ok(), "{}", status.message());
    EXPECT_EQ(moe.bytes(), expected_bytes);

    Arena scratch{Device{}};
    Ctx ctx{stream_, scratch};
    const Batch batch{.num_tokens = kTokens};
    KvCache kv({{.layers = {0}, .kv_heads = 1, .head_dim = 64}}, 32, 1, DType::kF32, Device{});
    const Step step{.ctx = ctx, .batch = batch, .kv = kv};
    Tensor x(Shape{kTokens, kHidden}, DType::kF32), out(Shape{kTokens, kHidden}, DType::kF32);
    for (int64_t i = 0; i < kTokens * kHidden; ++i) {
      x.data<float>()[i] = static_cast<float>(hash_normal(1, static_cast<uint64_t>(i)));
    }
    moe.forward(step, x, out, MatmulEpilogue::kStore);
    return out;
  }
  static FileWriter with_router() {
    FileWriter file;
    std::vector<float> router;
    for (uint64_t i = 0; i < kExperts * kHidden; ++i) {
      router.push_back(static_cast<float>(hash_normal(2, i)));
    }
    file.add("mlp.gate.weight", "F32", {kExperts, kHidden}, router);
    return file;
  }
  static MoeConfig config(ExpertForm form, ExpertNames names) {
    return {.hidden = kHidden,
            .intermediate = kSize,
            .experts = kExperts,
            .routing = {.top_k = 2, .renormalize = true},
            .form = form,
            .names = std::move(names)};
  }

  std::vector<Mxfp4Matrix> gate_, up_, down_;
  BuildOptions options_;
  CpuStream stream_{1, CpuIsa::from_environment().value()};
};

TEST_F(MoeTest, EveryFormOfACheckpointGivesTheSameLayer) {
  const MoeConfig separate = config(ExpertForm::kSeparate, {"w1", "w3", "w2"});
  const MoeConfig input_first = config(ExpertForm::kInputFirst, {"gate_up_proj", "", "down_proj"});
  const MoeConfig rows = config(ExpertForm::kRows, {"mlp.w1", "mlp.v1", "mlp.w2"});
  struct Case {
    const char* name;
    void (MoeTest::*write)(FileWriter&);
    const MoeConfig& config;
  };
  const Case cases[] = {{"separate", &MoeTest::write_separate, separate},
                        {"stacked", &MoeTest::write_stacked, separate},
                        {"rows", &MoeTest::write_rows, rows},
                        {"input first", &MoeTest::write_input_first, input_first},
                        {"MXFP4", &MoeTest::write_mxfp4, input_first}};
  Tensor want;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    FileWriter file = with_router();
    (this->*c.write)(file);
    Tensor whole = run(file, c.config);
    if (want.empty()) want = std::move(whole);
    if (!whole.empty()) {
      EXPECT_EQ(std::memcmp(whole.data<float>(), want.data<float>(), want.bytes()), 0);
    }
    const Tensor first = run(file, c.config, {0, 2}), second = run(file, c.config, {1, 2});
    for (int64_t i = 0; i < kTokens * kHidden; ++i) {
      const float expected = want.data<float>()[i];
      ASSERT_NEAR(first.data<float>()[i] + second.data<float>()[i], expected,
                  1e-5 * (std::fabs(expected) + 1))
          << i;
    }
  }
}

}  // namespace
}  // namespace lmdeploy
