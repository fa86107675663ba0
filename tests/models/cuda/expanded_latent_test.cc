// Latent attention with DeepSeek V2's own sizes of heads on a GPU, where whole prompts are expanded,
// against the CPU's absorbed form in fp32.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "base/random.h"
#include "tests/models/batch_runner.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

// The golden without experts, whose choice rounding may change, with heads of 128 + 64 and 128.
Golden real_heads() {
  Golden golden = read_golden("deepseek-v2-lite");
  constexpr int64_t kHidden = 128, kHeads = 4, kLatent = 512, kNope = 128, kRope = 64, kValue = 128;
  golden.config["first_k_dense_replace"] = golden.config.at("num_hidden_layers");
  golden.config["kv_lora_rank"] = kLatent;
  golden.config["qk_nope_head_dim"] = kNope;
  golden.config["qk_rope_head_dim"] = kRope;
  golden.config["v_head_dim"] = kValue;
  const int64_t size = golden.config.at("intermediate_size").to_number<int64_t>();
  TinyWeights weights;
  const auto add = [&](const std::string& name, Shape shape, double stddev, double mean = 0) {
    TinyTensor tensor{shape, {}};
    for (int64_t i = 0; i < shape.numel(); ++i) {
      tensor.values.push_back(static_cast<float>(
          mean + stddev * hash_normal(hash_name(name), static_cast<uint64_t>(i))));
    }
    weights[name] = std::move(tensor);
  };
  for (const char* name : {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}) {
    weights[name] = golden.weights.at(name);
  }
  for (int layer = 0; layer < 3; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    add(at + "input_layernorm.weight", Shape{kHidden}, 0.1, 1);
    add(at + "post_attention_layernorm.weight", Shape{kHidden}, 0.1, 1);
    add(at + "self_attn.q_proj.weight", Shape{kHeads * (kNope + kRope), kHidden}, 0.15);
    add(at + "self_attn.kv_a_proj_with_mqa.weight", Shape{kLatent + kRope, kHidden}, 0.15);
    add(at + "self_attn.kv_a_layernorm.weight", Shape{kLatent}, 0.1, 1);
    add(at + "self_attn.kv_b_proj.weight", Shape{kHeads * (kNope + kValue), kLatent}, 0.05);
    add(at + "self_attn.o_proj.weight", Shape{kHidden, kHeads * kValue}, 0.05);
    add(at + "mlp.gate_proj.weight", Shape{size, kHidden}, 0.1);
    add(at + "mlp.up_proj.weight", Shape{size, kHidden}, 0.1);
    add(at + "mlp.down_proj.weight", Shape{kHidden, size}, 0.1);
  }
  golden.weights = std::move(weights);
  return golden;
}

using Rows = std::vector<std::vector<float>>;

// Whole prompts beside a context that goes on, all in one step; then one prompt alone.
Rows run(CausalLm& model, Stream& stream, DType kv_dtype, bool batch_invariant) {
  const auto tokens = [](int count, int first) {
    std::vector<int32_t> ids;
    for (int i = 0; i < count; ++i) ids.push_back((first + 7 * i) % 250 + 3);
    return ids;
  };
  BatchRunner runner(model, stream, {.kv_dtype = kv_dtype, .batch_invariant = batch_invariant});
  runner.step(0, tokens(20, 1));
  std::vector<Feed> feeds = {{0, tokens(30, 2)}, {1, tokens(130, 3)}, {2, tokens(5, 4)},
                             {3, tokens(300, 5)}, {4, tokens(1, 6)}};
  Rows rows = runner.step(feeds);
  for (auto& row : runner.step(5, tokens(200, 8))) rows.push_back(std::move(row));
  for (auto& row : runner.step(5, tokens(1, 9))) rows.push_back(std::move(row));
  return rows;
}

struct Errors {
  double max = 0, rms = 0;
};
Errors errors(const Rows& got, const Rows& want) {
  Errors result;
  double sum = 0, count = 0;
  for (size_t r = 0; r < want.size(); ++r) {
    for (size_t i = 0; i < want[r].size(); ++i) {
      const double error = std::fabs(double{got[r][i]} - want[r][i]);
      result.max = std::max(result.max, error);
      sum += error * error;
      ++count;
    }
  }
  result.rms = std::sqrt(sum / count);
  return result;
}

TEST(CudaExpandedLatent, PromptsAreAsCloseToFp32AsTheAbsorbedForm) {
  const Golden golden = real_heads();
  auto cpu_stream = test_stream();
  auto on_cpu = load_tiny(golden.config, golden.weights, "float32", *cpu_stream);
  ASSERT_TRUE(on_cpu.ok()) << on_cpu.status().message();
  const Rows want = run(**on_cpu, *cpu_stream, DType::kF32, false);
  Result<std::unique_ptr<Stream>> stream = make_stream({DeviceType::kCuda, 0}, 0, {});
  ASSERT_TRUE(stream.ok()) << stream.status().message();
  for (const auto& [name, dtype] : {std::pair{"bfloat16", DType::kBF16}, {"float16", DType::kF16}}) {
    auto model = load_tiny(golden.config, golden.weights, name, **stream);
    ASSERT_TRUE(model.ok()) << model.status().message();
    const Errors expanded = errors(run(**model, **stream, dtype, false), want);
    const Errors absorbed = errors(run(**model, **stream, dtype, true), want);
    std::printf("%s: expanded max %.4f rms %.5f, absorbed max %.4f rms %.5f\n", name, expanded.max,
                expanded.rms, absorbed.max, absorbed.rms);
    EXPECT_LE(expanded.rms, 1.3 * absorbed.rms) << name;
    EXPECT_LE(expanded.max, 2 * absorbed.max) << name;
    EXPECT_LE(absorbed.rms, dtype == DType::kF16 ? 0.02 : 0.15) << name;
  }
}

}  // namespace
}  // namespace lmdeploy
