#include "checkpoint/load_plan.h"

#include <gtest/gtest.h>

#include <fstream>
#include <mutex>
#include <sstream>

#include "base/random.h"
#include "checkpoint/dummy_weights.h"
#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy {
namespace {

// A directory with m [4,3] (bytes 0..11), v [3] (12..14) and inv_freq.
class LoadPlanTest : public ::testing::Test {
 protected:
  LoadPlanTest() {
    dir_.write("config.json", R"({"architectures":["A"]})");
    std::string data;
    for (char i = 0; i < 16; ++i) data += i;
    dir_.write("model.safetensors",
               safetensors_file(
                   R"({"m":{"dtype":"U8","shape":[4,3],"data_offsets":[0,12]},)"
                   R"("v":{"dtype":"U8","shape":[3],"data_offsets":[12,15]},)"
                   R"("layers.0.inv_freq":{"dtype":"U8","shape":[1],"data_offsets":[15,16]}})",
                   data));
    checkpoint_ = Checkpoint::open(dir_.path()).value();
  }

  // A load that appends each slice, row by row, to `out`.
  static Load copy(std::string name, std::vector<LoadSource> sources, std::string& out) {
    return {std::move(name), std::move(sources), [&out](std::span<const LoadedSlice> slices) {
              for (const LoadedSlice& slice : slices) {
                for (int64_t row = 0; row < slice.rows; ++row) {
                  const std::byte* begin = slice.data + static_cast<size_t>(row) * slice.row_bytes;
                  out.append(reinterpret_cast<const char*>(begin),
                             static_cast<size_t>(dtype_bytes(slice.dtype, slice.cols)));
                }
              }
              return Status();
            }};
  }

  TemporaryDirectory dir_;
  std::unique_ptr<Checkpoint> checkpoint_;
  ThreadPool pool_{2};
};

TEST_F(LoadPlanTest, HandsSlicesToTheStore) {
  LoadPlan plan;
  plan.ignore("layers.*.inv_freq");
  std::string rows, columns, both;
  plan.add(copy("rows", {{"m", {4, 3}, 1, 2}}, rows));
  plan.add(copy("columns", {{"m", {4, 3}, 0, -1, 1, 2}}, columns));
  plan.add(copy("both", {{"v", {3}}, {"m", {4, 3}, 3}}, both));
  ASSERT_TRUE(plan.check(*checkpoint_).ok()) << plan.check(*checkpoint_).message();
  std::mutex mutex;
  size_t last = 0, total = 0;
  const Status status = plan.execute(*checkpoint_, pool_, [&](size_t done, size_t of) {
    const std::lock_guard lock(mutex);
    last = std::max(last, done);
    total = of;
  });
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(rows, std::string("\3\4\5\6\7\10"));
  EXPECT_EQ(columns, std::string("\1\2\4\5\7\10\12\13"));
  EXPECT_EQ(both, std::string("\14\15\16\11\12\13"));
  EXPECT_EQ(last, 20u);
  EXPECT_EQ(total, 20u);
}

TEST_F(LoadPlanTest, ASliceOfFp8KnowsWhereItIsInItsMatrix) {
  dir_.write("config.json", R"({"architectures":["A"],"quantization_config":
                               {"quant_method":"fp8","weight_block_size":[2,2]}})");
  // Codes 0x30 to 0x3B: 0.5 to 1, and 1 to 1.375. Scales 1, 2, 4, 8 in bf16.
  std::string data;
  for (char i = 0; i < 12; ++i) data += static_cast<char>(0x30 + i);
  data += std::string("\x80\x3F\x00\x40\x80\x40\x00\x41", 8);
  dir_.write("model.safetensors",
             safetensors_file(
                 R"({"m.weight":{"dtype":"F8_E4M3","shape":[4,3],"data_offsets":[0,12]},)"
                 R"("m.weight_scale_inv":{"dtype":"BF16","shape":[2,2],"data_offsets":[12,20]}})",
                 data));
  const auto checkpoint = Checkpoint::open(dir_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  std::vector<float> read;
  LoadPlan plan;
  plan.add({"part", {{"m.weight", {4, 3}, 1, 2, 1, 2}}, [&](std::span<const LoadedSlice> slices) {
              for (int64_t row = 0; row < slices[0].rows; ++row) {
                float values[2];
                dequantize_fp8_row(slices[0].data + static_cast<size_t>(row) * slices[0].row_bytes,
                                   row, slices[0].cols, slices[0].scales, values);
                read.insert(read.end(), values, values + 2);
              }
              return Status();
            }});
  ASSERT_TRUE(plan.execute(**checkpoint, pool_).ok());
  EXPECT_EQ(read, (std::vector<float>{0.75f, 0.8125f * 2, 0.9375f * 4, 1.0f * 8}));
}

TEST_F(LoadPlanTest, CheckNamesEveryProblem) {
  LoadPlan plan;
  std::string out;
  plan.add(copy("model.qkv", {{"m", {3, 4}}, {"nothing", {2}}}, out));
  Load bias = copy("bias", {{"also nothing", {2}}}, out);
  bias.absent = [] {};
  plan.add(std::move(bias));
  const Status status = plan.check(*checkpoint_);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  for (const char* part : {"4 problems", "'m' has shape [4, 3]; the configuration says [3, 4]",
                           "'nothing' is missing (needed by model.qkv)",
                           "'v' u8 [3] is not part of the model", "'layers.0.inv_freq'"}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << part << " in " << status.message();
  }
  EXPECT_EQ(status.message().find("also nothing"), std::string::npos);
}

TEST_F(LoadPlanTest, AnAbsentLoadIsToldSo) {
  LoadPlan plan;
  std::string out;
  bool absent = false;
  Load bias = copy("bias", {{"bias", {2}}}, out);
  bias.absent = [&] { absent = true; };
  plan.add(std::move(bias));
  ASSERT_TRUE(plan.execute(*checkpoint_, pool_).ok());
  EXPECT_TRUE(absent);
  EXPECT_EQ(out, "");
}

TEST_F(LoadPlanTest, FailedStoresAreAllNamed) {
  LoadPlan plan;
  for (const char* name : {"first", "second"}) {
    plan.add({name, {{"v", {3}}}, [](std::span<const LoadedSlice> slices) {
                return unsupported("dtype {} cannot be packed", dtype_name(slices[0].dtype));
              }});
  }
  const Status status = plan.execute(*checkpoint_, pool_);
  EXPECT_EQ(status.code(), StatusCode::kUnsupported);
  EXPECT_NE(status.message().find("first: dtype u8 cannot be packed"), std::string::npos);
  EXPECT_NE(status.message().find("second: dtype u8 cannot be packed"), std::string::npos);
}

TEST(LoadPlan, ColumnsThatCutQuantizedBlocksAreNamed) {
  TemporaryDirectory dir;
  const auto model = Checkpoint::open(dir.write("m.gguf", small_gguf()));
  ASSERT_TRUE(model.ok());
  LoadPlan plan;
  plan.ignore("*.weight");
  plan.add({"q", {{"model.layers.0.self_attn.q_proj.weight", {64, 64}, 0, -1, 16, 32}}, {}});
  const Status status = plan.check(**model);
  EXPECT_NE(status.message().find("is q4_0: columns [16, 48) cut its blocks of 32"),
            std::string::npos)
      << status.message();
}

// Memory of the process that maps a file.
size_t resident_file_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word != "RssFile:") continue;
    size_t kib = 0;
    status >> kib;
    return kib * 1024;
  }
  return 0;
}

TEST(LoadPlan, ConsumedPagesAreReleased) {
  constexpr size_t kBytes = size_t{32} << 20;
  TemporaryDirectory dir;
  dir.write("config.json", R"({"architectures":["A"]})");
  dir.write(
      "model.safetensors",
      safetensors_file(R"({"m":{"dtype":"U8","shape":[33554432],"data_offsets":[0,33554432]}})",
                       std::string(kBytes, 'x')));
  const auto model = Checkpoint::open(dir.path()).value();
  const size_t before = resident_file_bytes();
  size_t during = 0, sum = 0;
  LoadPlan plan;
  plan.add({"m", {{"m", {int64_t{kBytes}}}}, [&](std::span<const LoadedSlice> slices) {
              for (size_t i = 0; i < kBytes; i += 512)
                sum += static_cast<size_t>(slices[0].data[i]);
              during = resident_file_bytes();
              return Status();
            }});
  ThreadPool pool(1);
  ASSERT_TRUE(plan.execute(*model, pool).ok());
  EXPECT_EQ(sum, kBytes / 512 * 'x');
  EXPECT_GT(during, before + kBytes / 2);
  EXPECT_LT(resident_file_bytes(), before + (size_t{2} << 20));
}

json::object golden() {
  return read_json_file(LMDEPLOY_TEST_DATA "/checkpoint/hash_random.json").value().as_object();
}

// tools/hash_random.py wrote the file: the same numbers from numpy.
TEST(DummyWeights, RandomNumbersEqualPythons) {
  const json::object file = golden();
  for (const json::value& item : file.at("cases").as_array()) {
    const std::string name(item.at("name").as_string());
    EXPECT_EQ(std::to_string(hash_name(name)), std::string(item.at("hash").as_string()));
    const json::array& indices = item.at("indices").as_array();
    for (size_t i = 0; i < indices.size(); ++i) {
      const double normal = hash_normal(hash_name(name), indices[i].to_number<uint64_t>());
      EXPECT_NEAR(normal, item.at("normal").as_array()[i].to_number<double>(), 1e-14);
    }
  }
}

TEST(DummyWeights, BitsEqualPythonsInEveryDtypeAndSlice) {
  const json::value tensor = golden().at("tensor");
  const std::string name(tensor.at("name").as_string());
  for (auto [dtype, key] : {std::pair(DType::kF32, "f32_bits"), std::pair(DType::kF16, "f16_bits"),
                            std::pair(DType::kBF16, "bf16_bits")}) {
    const json::array& bits = tensor.at(key).as_array();
    std::string got;
    LoadPlan plan;
    plan.add({"w",
              {{name, {6, 8}}, {name, {6, 8}, 2, 3, 4, 2}},
              [&](std::span<const LoadedSlice> slices) {
                for (const LoadedSlice& slice : slices) {
                  got.append(reinterpret_cast<const char*>(slice.data),
                             static_cast<size_t>(slice.rows) * slice.row_bytes);
                }
                return Status();
              },
              {},
              0.02f,
              1.0f});
    ThreadPool pool(1);
    ASSERT_TRUE(plan.execute_dummy(dtype, pool).ok());
    std::string expected;
    const size_t each = static_cast<size_t>(dtype_bytes(dtype, 1));
    const auto append = [&](size_t index) {
      const uint32_t value = bits[index].to_number<uint32_t>();
      expected.append(reinterpret_cast<const char*>(&value), each);
    };
    for (size_t i = 0; i < 48; ++i) append(i);
    for (size_t row = 2; row < 5; ++row) {
      for (size_t col = 4; col < 6; ++col) append(row * 8 + col);
    }
    EXPECT_EQ(got, expected) << key;
  }
}

TEST(DummyWeights, OnlyPlainFloatsArePossible) {
  ThreadPool pool(1);
  EXPECT_EQ(LoadPlan().execute_dummy(DType::kQ4_0, pool).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace lmdeploy
