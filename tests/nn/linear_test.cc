#include "nn/linear.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/json.h"
#include "tests/checkpoint/file_builders.h"
#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy {
namespace {

constexpr int64_t kIn = 4;

// A checkpoint of fp32 matrices [rows, kIn] "NAME.weight", whose element [r][c] is r + c / 8, and
// vectors "NAME.bias", whose element r is r + 1/2.
class LinearTest : public ::testing::Test {
 protected:
  LinearTest() { options_.weights = DType::kF32; }

  void write(const std::vector<std::pair<std::string, int64_t>>& matrices) {
    json::object header;
    std::string data;
    const auto append = [&](const std::string& name, json::array shape,
                            const std::vector<float>& values) {
      const size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
      header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, data.size()}}};
    };
    for (const auto& [name, rows] : matrices) {
      std::vector<float> weight, bias;
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < kIn; ++c) weight.push_back(float(r) + float(c) / 8);
        bias.push_back(float(r) + 0.5f);
      }
      append(name + ".weight", {rows, kIn}, weight);
      append(name + ".bias", {rows}, bias);
    }
    directory_.write("config.json", R"({"architectures":["A"]})");
    directory_.write("model.safetensors", safetensors_file(to_json_text(header), data));
    checkpoint_ = Checkpoint::open(directory_.path()).value();
  }

  // The first row of out for x = 0: the bias, which says which rows the rank has; the weight's rows
  // must be the same ones.
  std::vector<int> rows_of(const std::vector<Projection>& projections, Parallel parallel = {},
                           Split split = Split::kRows) {
    options_.parallel = parallel;
    LoadPlan plan;
    Linear linear(Weights(plan), options_, kIn, projections, split, Bias::kRequired);
    const Status checked = plan.check(*checkpoint_);
    CHECK(checked.ok(), "{}", checked.message());
    const Status loaded = plan.execute(*checkpoint_, stream_.pool());
    CHECK(loaded.ok(), "{}", loaded.message());
    Arena scratch{Device{}};
    Ctx ctx{stream_, scratch};
    Tensor x(Shape{2, linear.in()}, DType::kF32), out(Shape{2, linear.out()}, DType::kF32);
    for (int64_t c = 0; c < linear.in(); ++c) {
      x.data<float>()[c] = 0;
      x.data<float>()[linear.in() + c] = c == 0 ? 1.0f : 0.0f;
    }
    linear.forward(ctx, x, out);
    std::vector<int> rows;
    for (int64_t i = 0; i < linear.out(); ++i) {
      const float bias = out.data<float>()[i];
      rows.push_back(static_cast<int>(bias));
      EXPECT_EQ(out.data<float>()[linear.out() + i], bias + static_cast<float>(rows.back()));
    }
    return rows;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Checkpoint> checkpoint_;
  BuildOptions options_;
  CpuStream stream_{1, CpuIsa::from_environment().value()};
};

TEST_F(LinearTest, ReadsStackedProjections) {
  write({{"qkv", 8}});
  const auto parts = stacked("qkv", {{"", 4, 2}, {"", 2, 2}, {"", 2, 2}});
  EXPECT_EQ(rows_of(parts), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST_F(LinearTest, PutsGroupedProjectionsInOrder) {
  write({{"qkv", 16}});  // two KV heads of two rows: q q k v, q q k v
  const auto parts = stacked_by_group("qkv", 2, {{"", 8, 2}, {"", 4, 2}, {"", 4, 2}});
  EXPECT_EQ(rows_of(parts),
            (std::vector<int>{0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15}));
}

TEST_F(LinearTest, EachRankHasItsHeads) {
  write({{"qkv", 16}});
  const auto grouped = stacked_by_group("qkv", 2, {{"", 8, 2}, {"", 4, 2}, {"", 4, 2}});
  EXPECT_EQ(rows_of(grouped, {0, 2}), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(rows_of(grouped, {1, 2}), (std::vector<int>{8, 9, 10, 11, 12, 13, 14, 15}));
  const auto contiguous = stacked("qkv", {{"", 8, 2}, {"", 4, 2}, {"", 4, 2}});
  EXPECT_EQ(rows_of(contiguous, {1, 2}), (std::vector<int>{4, 5, 6, 7, 10, 11, 14, 15}));
}

TEST_F(LinearTest, RanksShareHeadsWhereThereAreFewer) {
  write({{"qkv", 16}});
  const auto grouped = stacked_by_group("qkv", 2, {{"", 8, 2}, {"", 4, 2}, {"", 4, 2}});
  EXPECT_EQ(rows_of(grouped, {0, 4}), (std::vector<int>{0, 1, 4, 5, 6, 7}));
  EXPECT_EQ(rows_of(grouped, {1, 4}), (std::vector<int>{2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(rows_of(grouped, {2, 4}), (std::vector<int>{8, 9, 12, 13, 14, 15}));
  EXPECT_EQ(rows_of(grouped, {3, 4}), (std::vector<int>{10, 11, 12, 13, 14, 15}));
}

TEST_F(LinearTest, GateAndUpAreCutSeparately) {
  write({{"gate_up", 8}});
  const auto parts = stacked("gate_up", {{"", 4}, {"", 4}});
  EXPECT_EQ(rows_of(parts, {0, 2}), (std::vector<int>{0, 1, 4, 5}));
  EXPECT_EQ(rows_of(parts, {1, 2}), (std::vector<int>{2, 3, 6, 7}));
}

TEST_F(LinearTest, AMissingSharedTensorIsNamedOnce) {
  write({{"other", 8}});
  LoadPlan plan;
  const Linear linear(Weights(plan) / "attention", options_, kIn,
                      stacked_by_group("wqkv", 2, {{"", 8, 2}, {"", 4, 2}, {"", 4, 2}}),
                      Split::kRows, Bias::kNone);
  const std::string message(plan.check(*checkpoint_).message());
  const size_t first = message.find("'attention.wqkv.weight' is missing");
  ASSERT_NE(first, std::string::npos) << message;
  EXPECT_EQ(message.find("attention.wqkv.weight' is missing", first + 10), std::string::npos)
      << message;
}

}  // namespace
}  // namespace lmdeploy
