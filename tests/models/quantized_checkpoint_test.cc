// Checkpoints as they are published, in fp8 with scales of blocks, rows and whole matrices, and
// gpt-oss with experts in MXFP4, against the same numbers in fp32.
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

// One way to publish a model in fp8.
struct Fp8Form {
  const char* name;
  const char* golden;
  int64_t block_rows, block_columns;  // that share a scale; 0: all of them
  DType scale_type;
  const char* suffix;  // of the scales' name
  Shape scale_shape;   // where it is none of blocks: [1], [], or rank 2 for [n, 1]
  const char* beside;  // suffix of a number that is of no use here; nullptr: none
  const char* quantization;  // of config.json; nullptr: ModelOpt's own file says it
};

// What the published checkpoints quantize: all matrices of the layers but the routers.
bool is_quantized(const std::string& name, const TinyTensor& tensor) {
  return tensor.shape.rank() == 2 && name.starts_with("model.layers.") &&
         !name.ends_with("gate.weight");
}

void add_scales(const std::string& name, const Shape& shape, DType dtype,
                const std::vector<float>& scales, FileWriter& file) {
  if (dtype == DType::kF32) {
    file.add(name, "F32", shape, scales.data(), scales.size() * sizeof(float));
    return;
  }
  std::vector<uint16_t> halves;
  for (const float scale : scales) {
    halves.push_back(dtype == DType::kF16 ? to_f16(scale).bits : to_bf16(scale).bits);
  }
  file.add(name, dtype == DType::kF16 ? "F16" : "BF16", shape, halves.data(), halves.size() * 2);
}

float rounded(float x, DType dtype) {
  if (dtype == DType::kF16) return to_float(to_f16(x));
  return dtype == DType::kBF16 ? to_float(to_bf16(x)) : x;
}

// Writes the matrix as codes and scales; it becomes the numbers that they stand for.
void quantize(const std::string& name, TinyTensor& tensor, const Fp8Form& form, FileWriter& file) {
  const int64_t rows = tensor.shape[0], columns = tensor.shape[1];
  const int64_t block_rows = form.block_rows > 0 ? form.block_rows : rows;
  const int64_t block_columns = form.block_columns > 0 ? form.block_columns : columns;
  const int64_t across = (columns + block_columns - 1) / block_columns;
  const int64_t down = (rows + block_rows - 1) / block_rows;
  std::vector<float> scales(static_cast<size_t>(down * across), 1e-4f);
  const auto scale_of = [&](int64_t i) -> float& {
    return scales[static_cast<size_t>(i / columns / block_rows * across +
                                      i % columns / block_columns)];
  };
  for (int64_t i = 0; i < rows * columns; ++i) {
    const float least = std::fabs(tensor.values[static_cast<size_t>(i)]) / 448.0f;
    scale_of(i) = std::max(scale_of(i), least);
  }
  for (float& scale : scales) scale = rounded(scale, form.scale_type);
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < rows * columns; ++i) {
    float& value = tensor.values[static_cast<size_t>(i)];
    codes.push_back(to_e4m3(value / scale_of(i)));
    value = to_float(to_bf16(from_e4m3(codes.back()) * scale_of(i)));
  }
  file.add(name, "F8_E4M3", tensor.shape, codes.data(), codes.size());
  const bool of_one = form.block_rows == 0 && form.block_columns == 0;
  add_scales(name + form.suffix, of_one ? form.scale_shape : Shape{down, across}, form.scale_type,
             scales, file);
  if (form.beside == nullptr) return;
  const std::string module = name.substr(0, name.size() - std::string_view("weight").size());
  add_scales(module + form.beside, Shape{1}, form.scale_type, {0.5f}, file);
}

std::vector<std::vector<float>> prefill(CausalLm& model, Stream& stream,
                                        const GoldenPrompt& prompt) {
  BatchRunner runner(model, stream, {});
  return runner.prefill(0, prompt.ids);
}

// Loads `file` with the golden's configuration from `directory`: in fp32 it is the golden with its
// weights to the bit; in the types of the file it takes less memory.
void expect_same_logits(const Golden& golden, const FileWriter& file,
                        const TemporaryDirectory& directory) {
  const std::unique_ptr<Stream> stream = test_stream();
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

class Fp8CheckpointTest : public testing::TestWithParam<Fp8Form> {};

TEST_P(Fp8CheckpointTest, LogitsAreThoseOfTheSameNumbersInFp32) {
  const Fp8Form& form = GetParam();
  Golden golden = read_golden(form.golden);
  FileWriter file;
  size_t quantized = 0;
  for (auto& [name, tensor] : golden.weights) {
    if (is_quantized(name, tensor)) {
      quantize(name, tensor, form, file);
      ++quantized;
    } else {
      add_floats(file, name, tensor);
    }
  }
  EXPECT_GE(quantized, 8U);
  if (std::string_view(form.golden) == "deepseek-v3") {
    // The layer that predicts further tokens is in the files, too.
    TinyTensor further = golden.weights.at("model.layers.0.self_attn.o_proj.weight");
    quantize("model.layers.3.self_attn.o_proj.weight", further, form, file);
  }
  TemporaryDirectory directory;
  if (form.quantization != nullptr) {
    golden.config["quantization_config"] = *parse_json(form.quantization, form.name);
  } else {
    directory.write("hf_quant_config.json", R"({"quantization": {"quant_algo": "FP8"}})");
  }
  expect_same_logits(golden, file, directory);
}

constexpr const char* kChannels = R"({"quant_method": "compressed-tensors",
    "format": "float-quantized", "ignore": ["lm_head"], "config_groups": {"group_0": {"weights":
    {"num_bits": 8, "type": "float", "strategy": "channel"}}}})";
constexpr const char* kTensors = R"({"quant_method": "compressed-tensors",
    "format": "float-quantized", "ignore": ["lm_head"], "config_groups": {"group_0": {"weights":
    {"num_bits": 8, "type": "float", "strategy": "tensor"}}}})";
constexpr const char* kBlocks = R"({"quant_method": "fp8", "fmt": "e4m3",
    "activation_scheme": "dynamic", "weight_block_size": [128, 128]})";
// Small blocks, of which every matrix has several in both directions.
constexpr const char* kSmallBlocks = R"({"quant_method": "fp8", "weight_block_size": [24, 20]})";

INSTANTIATE_TEST_SUITE_P(
    AsPublished, Fp8CheckpointTest,
    testing::Values(
        Fp8Form{"deepseek_v3", "deepseek-v3", 128, 128, DType::kF32, "_scale_inv", {}, nullptr,
                kBlocks},
        Fp8Form{"deepseek_v3_small_blocks", "deepseek-v3", 24, 20, DType::kF32, "_scale_inv", {},
                nullptr, kSmallBlocks},
        Fp8Form{"qwen3", "qwen3", 128, 128, DType::kBF16, "_scale_inv", {}, nullptr, kBlocks},
        Fp8Form{"qwen3_moe_small_blocks", "qwen3-moe", 24, 20, DType::kBF16, "_scale_inv", {},
                nullptr, kSmallBlocks},
        Fp8Form{"llama_channels", "llama", 1, 0, DType::kBF16, "_scale", {}, nullptr, kChannels},
        Fp8Form{"qwen2_tensors", "qwen2", 0, 0, DType::kBF16, "_scale", Shape{1}, "input_scale",
                kTensors},
        Fp8Form{"mixtral_autofp8", "mixtral", 0, 0, DType::kF32, "_scale", Shape{1}, "input_scale",
                R"({"quant_method": "fp8", "activation_scheme": "static"})"},
        Fp8Form{"phi3_autofp8", "phi3", 0, 0, DType::kF16, "_scale", Shape{}, "input_scale",
                R"({"quant_method": "fp8", "activation_scheme": "static"})"},
        Fp8Form{"phi3_channels", "phi3", 1, 0, DType::kBF16, "_scale", {}, nullptr, kChannels},
        // Its q and k rows are put in another order.
        Fp8Form{"cohere_channels", "cohere", 1, 0, DType::kBF16, "_scale", {}, nullptr, kChannels},
        Fp8Form{"llama_fbgemm", "llama-llama3", 1, 0, DType::kF32, "_scale", {}, "input_scale_ub",
                R"({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0})"},
        Fp8Form{"llama_modelopt", "llama", 0, 0, DType::kF32, "_scale", Shape{}, "k_scale",
                nullptr}),
    [](const auto& form) { return std::string(form.param.name); });

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
  expect_same_logits(golden, file, TemporaryDirectory());
}

}  // namespace
}  // namespace lmdeploy
