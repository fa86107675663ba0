#include "checkpoint/quantization.h"

#include <algorithm>

#include "base/utf8.h"

namespace lmdeploy {

namespace {

constexpr int64_t kMaxBlock = 65536;
constexpr size_t kShownBytes = 80;  // of a value in a message
constexpr const char* kModelOptFile = "hf_quant_config.json";
// Methods whose checkpoints have a matrix NAME.weight in fp8 and its scales beside it.
constexpr std::array<std::string_view, 2> kFp8Methods = {"fp8", "fbgemm_fp8"};

std::string shown(std::string_view text) {
  if (text.size() <= kShownBytes) return std::string(text);
  return fmt::format("{}...", text.substr(0, utf8_prefix(text, kShownBytes)));
}

// What a configuration says of a quantization; nothing: `object` is nullptr.
struct Named {
  std::string_view key, method;
  const json::object* object = nullptr;
};

Named quantization_of(const json::object& config) {
  for (const char* key : {"quantization_config", "compression_config", kModelOptFile}) {
    const json::object* object = object_of(find(config, key));
    if (object == nullptr || object->empty()) continue;
    const std::string_view method = text_of(find(*object, "quant_method"));
    return {key, method.empty() ? "unnamed" : method, object};
  }
  return {};
}

// ModelOpt names no algorithm where the KV cache alone has scales.
bool has_plain_weights(const Named& quantization) {
  return quantization.object == nullptr ||
         (quantization.method == "modelopt" && !find(*quantization.object, "quant_algo"));
}

bool is_plain_fp8(const Named& quantization) {
  const bool modelopt = quantization.method == "modelopt" &&
                        text_of(find(*quantization.object, "quant_algo")) == "FP8";
  return modelopt || std::ranges::find(kFp8Methods, quantization.method) != kFp8Methods.end();
}

// [rows, columns]; nullopt: something else.
std::optional<BlockShape> block_of(const json::value* value) {
  const json::array* sizes = value == nullptr ? nullptr : value->if_array();
  if (sizes == nullptr || sizes->size() != 2) return std::nullopt;
  BlockShape block{};
  for (size_t i = 0; i < 2; ++i) {
    const int64_t* size = (*sizes)[i].if_int64();
    if (size == nullptr || *size < 1 || *size > kMaxBlock) return std::nullopt;
    block[i] = *size;
  }
  return block;
}

Status refusal(std::string_view path, const Named& quantization, std::string_view what) {
  return unsupported(
      "{}: the weights are quantized ('{}', method '{}'{}), which comes with a later "
      "version; use the unquantized model or a GGUF file of it",
      path, quantization.key, shown(quantization.method), what);
}

Result<StoredQuantization> read_plain_fp8(const Named& quantization, std::string_view path) {
  StoredQuantization stored{.fp8 = true};
  const json::value* block = find(*quantization.object, "weight_block_size");
  if (block == nullptr) return stored;
  stored.block = block_of(block);
  if (!stored.block) {
    return invalid_argument(
        "{}: 'weight_block_size' is {}; expected [rows, columns], each 1 to {}", path,
        shown(to_json_text(*block)), kMaxBlock);
  }
  return stored;
}

// The weights of group `name`, whose block goes to `stored`. What cannot be read; empty: nothing.
std::string read_group(std::string_view name, const json::object& weights,
                       StoredQuantization& stored) {
  const json::value* bits = find(weights, "num_bits");
  const std::string_view type = text_of(find(weights, "type"));
  if (type != "float" || bits == nullptr || *bits != 8) {
    return fmt::format(", {} of {} bits", type.empty() ? "int" : shown(type),
                       bits == nullptr ? "unknown" : shown(to_json_text(*bits)));
  }
  const std::string_view strategy = text_of(find(weights, "strategy"));
  if (strategy.empty() || strategy == "tensor" || strategy == "channel") return {};
  if (strategy != "block") return fmt::format(", strategy '{}'", shown(strategy));
  const std::optional<BlockShape> block = block_of(find(weights, "block_structure"));
  if (!block) return ", 'block_structure' is not [rows, columns]";
  if (stored.block && stored.block != block) {
    return fmt::format(", blocks of {} x {} in '{}' beside others of {} x {}", (*block)[0],
                       (*block)[1], shown(name), (*stored.block)[0], (*stored.block)[1]);
  }
  stored.block = block;
  return {};
}

// The first thing that cannot be read; empty: all of it can.
std::string read_groups(const json::object& quantization, StoredQuantization& stored) {
  const json::object* groups = object_of(find(quantization, "config_groups"));
  if (groups == nullptr || groups->empty()) return ", no 'config_groups'";
  for (const auto& [name, value] : *groups) {
    const json::object* group = value.if_object();
    const json::object* weights = group == nullptr ? nullptr : object_of(find(*group, "weights"));
    if (weights == nullptr) continue;
    std::string refused = read_group(name, *weights, stored);
    if (!refused.empty()) return refused;
  }
  return {};
}

Result<StoredQuantization> read_compressed_tensors(const Named& quantization,
                                                   std::string_view path) {
  StoredQuantization stored{.fp8 = true};
  std::string refused = read_groups(*quantization.object, stored);
  const json::object* sparsity = object_of(find(*quantization.object, "sparsity_config"));
  const std::string_view sparse = sparsity == nullptr ? "" : text_of(find(*sparsity, "format"));
  if (!sparse.empty() && sparse != "dense") refused += fmt::format(", sparse '{}'", shown(sparse));
  const json::object* transform = object_of(find(*quantization.object, "transform_config"));
  const json::object* rotations =
      transform == nullptr ? nullptr : object_of(find(*transform, "config_groups"));
  if (rotations != nullptr && !rotations->empty()) refused += ", rotated weights";
  if (!refused.empty()) return refusal(path, quantization, refused);
  return stored;
}

}  // namespace

std::string stored_format(const json::object& config) {
  const Named quantization = quantization_of(config);
  if (has_plain_weights(quantization)) return "hf";
  return std::string(is_plain_fp8(quantization) ? "fp8" : quantization.method);
}

void add_modelopt_quantization(const json::object& modelopt, json::object& config) {
  if (quantization_of(config).object != nullptr) return;
  json::object quantization{{"quant_method", "modelopt"}};
  const json::object* stated = object_of(find(modelopt, "quantization"));
  const json::value* algorithm = stated == nullptr ? nullptr : find(*stated, "quant_algo");
  if (algorithm != nullptr) quantization["quant_algo"] = *algorithm;
  config[kModelOptFile] = std::move(quantization);
}

Result<StoredQuantization> read_quantization(const json::object& config, std::string_view path) {
  const Named quantization = quantization_of(config);
  if (quantization.object == nullptr) return StoredQuantization{};
  if (quantization.method == "mxfp4") return StoredQuantization{};  // experts (quant/mxfp4.h)
  if (has_plain_weights(quantization)) return StoredQuantization{.fp8 = true};  // of the cache
  if (is_plain_fp8(quantization)) return read_plain_fp8(quantization, path);
  if (quantization.method == "compressed-tensors") {
    return read_compressed_tensors(quantization, path);
  }
  const std::string_view algorithm = text_of(find(*quantization.object, "quant_algo"));
  return refusal(path, quantization,
                 algorithm.empty() ? std::string() : fmt::format(", '{}'", shown(algorithm)));
}

}  // namespace lmdeploy
