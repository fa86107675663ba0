// Checkpoints as they are published, DeepSeek V3 in fp8 with a scale a block and gpt-oss with experts
// in MXFP4, against the same numbers in fp32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/checkpoint/file_builders.h"
#include "tests/models/batch_runner.h"
#include "tests/models/golden.h"

namespace lmdeploy {
namespace {

// Codes 0 to 126 are the numbers from 0 to 448, ascending.
std::vector<float> e4m3_numbers() {
  std::vector<float> numbers;
  for (int code = 0; code < 127; ++code) {
    const double fraction = (code & 7) / 8.0, power = std::pow(2.0, code / 8 - 7);
    numbers.push_back(static_cast<float>(code < 8 ? fraction / 64.0 : (1.0 + fraction) * power));
  }
  return numbers;
}

// The nearest code.
uint8_t to_e4m3(float x) {
  static const std::vector<float> kNumbers = e4m3_numbers();
  const float magnitude = std::fabs(x);
  auto above = std::ranges::lower_bound(kNumbers, magnitude);
  if (above == kNumbers.end()) --above;
  if (above != kNumbers.begin() && magnitude - *(above - 1) < *above - magnitude) --above;
  const auto code = static_cast<int>(above - kNumbers.begin());
  return static_cast<uint8_t>(std::signbit(x) ? code + 128 : code);
}

float from_e4m3(uint8_t code) {
  static const std::vector<float> kNumbers = e4m3_numbers();
  const float magnitude = kNumbers[code & 127U];
  return code < 128 ? magnitude : -magnitude;
}

// safetensors with tensors of several types.
class FileWriter {
 public:
  void add(const std::string& name, const char* dtype, const Shape& shape, const void* data,
           size_t bytes) {
    json::array extents;
    for (int axis = 0; axis < shape.rank(); ++axis) extents.push_back(shape[axis]);
    header_[name] = {{"dtype", dtype}, {"shape", extents},
                     {"data_offsets", {data_.size(), data_.size() + bytes}}};
    data_.append(static_cast<const char*>(data), bytes);
  }
  std::string file() const { return safetensors_file(to_json_text(header_), data_); }

 private:
  json::object header_;
  std::string data_;
};

void add_floats(FileWriter& file, const std::string& name, const TinyTensor& tensor) {
  file.add(name, "F32", tensor.shape, tensor.values.data(), tensor.values.size() * sizeof(float));
}

// What the published checkpoints quantize: all matrices of the layers but the routers.
bool is_quantized(const std::string& name, const TinyTensor& tensor) {
  return tensor.shape.rank() == 2 && name.starts_with("model.layers.") &&
         !name.ends_with("mlp.gate.weight");
}

// Writes the matrix as codes and scales; it becomes the numbers that they stand for.
void quantize(const std::string& name, TinyTensor& tensor, int64_t block_rows,
              int64_t block_columns, FileWriter& file) {
  const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  const int64_t across = (columns + block_columns - 1) / block_columns;
  const int64_t down = (rows + block_rows - 1) / block_rows;
  std::vector<float> scales(static_cast<size_t>(down * across), 1e-12f);
  const auto scale_of = [&](int64_t i) -> float& {
    return scales[static_cast<size_t>(i / columns / block_rows * across +
                                      i % columns / block_columns)];
  };
  for (int64_t i = 0; i < rows * columns; ++i) {
    const float least = std::fabs(tensor.values[static_cast<size_t>(i)]) / 448.0f;
    scale_of(i) = std::max(scale_of(i), least);
  }
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < rows * columns; ++i) {
    float& value = tensor.values[static_cast<size_t>(i)];
    codes.push_back(to_e4m3(value / scale_of(i)));
    value = to_float(to_bf16(from_e4m3(codes.back()) * scale_of(i)));
  }
  file.add(name, "F8_E4M3", tensor.shape, codes.data(), codes.size());
  file.add(name + "_scale_inv", "F32", Shape{down, across}, scales.data(),
           scales.size() * sizeof(float));
}

std::vector<std::vector<float>> prefill(CausalLm& model, Stream& stream,
                                        const GoldenPrompt& prompt) {
  BatchRunner runner(model, stream, {});
  return runner.prefill(0, prompt.ids);
}

// Loads `file` with the golden's configuration: in fp32 it is the golden with its weights to the
// bit; in the types of the file it takes less memory.
void expect_same_logits(const Golden& golden, const FileWriter& file) {
  const std::unique_ptr<Stream> stream = test_stream();
  TemporaryDirectory directory;
  directory.write("config.json", to_json_text(golden.config));
  directory.write("model.safetensors", file.file());
  const auto checkpoint = Checkpoint::open(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message();
  const auto model = load_model(**checkpoint, {.dtype = "float32"}, *stream);
  ASSERT_TRUE(model.ok()) << model.status().message();
  json::object config = golden.config;
  config.erase("quantization_config");
  const auto expected = load_tiny(config, golden.weights, "float32", *stream);
  ASSERT_TRUE(expected.ok()) << expected.status().message();
  const GoldenPrompt& prompt = golden.prompts.back();
  EXPECT_EQ(prefill(**model, *stream, prompt), prefill(**expected, *stream, prompt));

  const auto as_stored = load_model(**checkpoint, {.dtype = "auto"}, *stream);
  ASSERT_TRUE(as_stored.ok()) << as_stored.status().message();
  EXPECT_LT((*as_stored)->info().weight_bytes, (*model)->info().weight_bytes * 3 / 4);
}

class Fp8CheckpointTest : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(Fp8CheckpointTest, LogitsAreThoseOfTheSameNumbersInFp32) {
  const auto [block_rows, block_columns] = GetParam();
  Golden golden = read_golden("deepseek-v3");
  FileWriter file;
  for (auto& [name, tensor] : golden.weights) {
    if (is_quantized(name, tensor)) {
      quantize(name, tensor, block_rows, block_columns, file);
    } else {
      add_floats(file, name, tensor);
    }
  }
  // The layer that predicts further tokens is in the files, too.
  TinyTensor further = golden.weights.at("model.layers.0.self_attn.o_proj.weight");
  quantize("model.layers.3.self_attn.o_proj.weight", further, block_rows, block_columns, file);

  golden.config["quantization_config"] = {{"activation_scheme", "dynamic"},
                                          {"fmt", "e4m3"},
                                          {"quant_method", "fp8"},
                                          {"weight_block_size", {block_rows, block_columns}}};
  expect_same_logits(golden, file);
}

// The published blocks, and small ones, of which every matrix has several in both directions.
INSTANTIATE_TEST_SUITE_P(Blocks, Fp8CheckpointTest,
                         testing::Values(std::pair(128, 128), std::pair(24, 20)));

// The nearest number that MXFP4 has beside this scale: a code of a sign and one of eight sizes.
uint8_t to_e2m1(float x, float scale) {
  constexpr float kSizes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  const auto distance = [&](float size) { return std::fabs(std::fabs(x) - size * scale); };
  const auto* nearest = std::ranges::min_element(kSizes, {}, distance);
  return static_cast<uint8_t>(nearest - kSizes + (std::signbit(x) ? 8 : 0));
}

float from_e2m1(uint8_t code, float scale) {
  constexpr float kSizes[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  return (code < 8 ? 1.0f : -1.0f) * kSizes[code & 7U] * scale;
}

// Matrices [experts, in, out] become NAME_blocks [experts, out, in / 32, 16] and NAME_scales.
void quantize_experts(const std::string& name, TinyTensor& tensor, FileWriter& file) {
  const int64_t experts = tensor.shape[0], in = tensor.shape[1], out = tensor.shape[2];
  std::vector<uint8_t> codes, scales;
  for (int64_t row = 0; row < experts * out; ++row) {
    const auto value = [&](int64_t i) -> float& {
      return tensor.values[static_cast<size_t>((row / out * in + i) * out + row % out)];
    };
    for (int64_t first = 0; first < in; first += 32) {
      float largest = 1e-6f;
      for (int64_t i = first; i < first + 32; ++i) largest = std::max(largest, std::fabs(value(i)));
      const int exponent = std::ilogb(largest) - 2;  // the largest size is 6
      const float scale = std::ldexp(1.0f, exponent);
      scales.push_back(static_cast<uint8_t>(exponent + 127));
      for (int64_t i = first; i < first + 32; i += 2) {
        const uint8_t low = to_e2m1(value(i), scale), high = to_e2m1(value(i + 1), scale);
        codes.push_back(static_cast<uint8_t>(low | high << 4));
        value(i) = from_e2m1(low, scale);
        value(i + 1) = from_e2m1(high, scale);
      }
    }
  }
  file.add(name + "_blocks", "U8", Shape{experts, out, in / 32, 16}, codes.data(), codes.size());
  file.add(name + "_scales", "U8", Shape{experts, out, in / 32}, scales.data(), scales.size());
}

TEST(Mxfp4CheckpointTest, LogitsAreThoseOfTheSameNumbersInFp32) {
  Golden golden = read_golden("gpt-oss");
  FileWriter file;
  for (auto& [name, tensor] : golden.weights) {
    if (name.ends_with("gate_up_proj") || name.ends_with("experts.down_proj")) {
      quantize_experts(name, tensor, file);
    } else {
      add_floats(file, name, tensor);
    }
  }
  golden.config["quantization_config"] = {
      {"modules_to_not_convert", {"model.layers.*.self_attn", "model.layers.*.mlp.router",
                                  "model.embed_tokens", "lm_head"}},
      {"quant_method", "mxfp4"}};
  expect_same_logits(golden, file);
}

}  // namespace
}  // namespace lmdeploy
