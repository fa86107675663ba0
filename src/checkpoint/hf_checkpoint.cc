#include "checkpoint/hf_checkpoint.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "checkpoint/fp8_scales.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/mapped_file.h"
#include "checkpoint/model_path.h"
#include "checkpoint/problem_list.h"
#include "checkpoint/quantization.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/torch_file.h"
#include "checkpoint/weight_files.h"

namespace lmdeploy {

namespace {

namespace fs = std::filesystem;

constexpr JsonLimits kConfigLimits{32, size_t{16} << 20};

// Buffers that some checkpoints store and that follow from the configuration.
constexpr std::array<std::string_view, 5> kBufferSuffixes = {
    ".rotary_emb.inv_freq", ".rotary_pos_emb.inv_freq", ".masked_bias", ".attn.bias",
    ".position_ids"};

// A multimodal model's names: where the language model's tensors are, and what is not part of it.
struct Prefix {
  std::string_view from, to;
};
constexpr std::array<Prefix, 3> kTextPrefixes = {{{"model.language_model.", "model."},
                                                  {"language_model.model.", "model."},
                                                  {"language_model.", ""}}};
constexpr std::array<std::string_view, 10> kVisionPrefixes = {"visual.",
                                                              "vision_tower.",
                                                              "vision_model.",
                                                              "multi_modal_projector.",
                                                              "mlp1.",
                                                              "image_newline",
                                                              "model.visual.",
                                                              "model.vision_tower.",
                                                              "model.multi_modal_projector.",
                                                              "model.image_newline"};

bool is_buffer(std::string_view name) {
  return std::any_of(kBufferSuffixes.begin(), kBufferSuffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

bool is_vision(std::string_view name) {
  return std::any_of(kVisionPrefixes.begin(), kVisionPrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

std::string text_name(std::string_view name) {
  for (const Prefix& prefix : kTextPrefixes) {
    if (name.starts_with(prefix.from)) {
      return fmt::format("{}{}", prefix.to, name.substr(prefix.from.size()));
    }
  }
  return std::string(name);
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A JSON file that holds an object.
Result<json::object> read_object(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  RETURN_IF_ERROR(refuse_lfs_pointer(text_of(file.bytes()), path));
  ASSIGN_OR_RETURN(json::value value, parse_json(text_of(file.bytes()), path, kConfigLimits));
  json::object* object = value.if_object();
  if (object == nullptr) return invalid_argument("{} is not a JSON object", path);
  return std::move(*object);
}

class HfCheckpoint final : public Checkpoint {
 public:
  explicit HfCheckpoint(std::string path) { path_ = std::move(path); }

  Status read(CheckpointParts parts) {
    RETURN_IF_ERROR(check_model_directory(path_));
    bool multimodal = false;
    RETURN_IF_ERROR(read_config(multimodal));
    RETURN_IF_ERROR(read_generation());
    if (parts == CheckpointParts::kConfigOnly) return Status();
    ASSIGN_OR_RETURN(const StoredQuantization quantization, read_quantization(config_, path_));
    return read_weights(multimodal, quantization);
  }

 private:
  std::string file(const std::string& name) const { return (fs::path(path_) / name).string(); }
  bool exists(const char* name) const {
    std::error_code error;
    return fs::exists(file(name), error);
  }

  Status read_config(bool& multimodal) {
    const std::string path = file("config.json");
    ASSIGN_OR_RETURN(json::object raw, read_object(path));
    ProblemList problems;
    config_ = classic_config(std::move(raw), multimodal, problems);
    RETURN_IF_ERROR(problems.status(StatusCode::kInvalidArgument, path));
    if (exists("hf_quant_config.json")) {
      ASSIGN_OR_RETURN(const json::object modelopt, read_object(file("hf_quant_config.json")));
      add_modelopt_quantization(modelopt, config_);
    }
    if (const json::value* name = lmdeploy::find(config_, "_name_or_path");
        name != nullptr && name->is_string() && !name->get_string().empty()) {
      model_name_ = name_of_model_path(std::string(name->get_string()));
    }
    if (model_name_.empty() || model_name_ == ".") model_name_ = name_of_model_path(path_);
    return Status();
  }

  Status read_generation() {
    const std::string path = file("generation_config.json");
    json::object generation;
    if (exists("generation_config.json")) {
      ASSIGN_OR_RETURN(generation, read_object(path));
    }
    ProblemList problems;
    generation_ = read_generation_defaults(generation, config_, problems);
    return problems.status(StatusCode::kInvalidArgument, path);
  }

  Status read_weights(bool multimodal, const StoredQuantization& quantization) {
    ASSIGN_OR_RETURN(const WeightFiles weights, find_weight_files(path_));
    ProblemList problems;
    StatusCode code = StatusCode::kDataLoss;
    std::set<std::string, std::less<>> seen, unreadable;
    for (const std::string& name : weights.files) {
      const Status status = read_file(name, weights, multimodal, seen, problems);
      if (status.ok()) continue;
      code = status.code();
      problems.add("{}", status.message());
      unreadable.insert(name);
    }
    for (const auto& [tensor, shard] : weights.listed) {
      if (!seen.contains(tensor) && !unreadable.contains(shard)) {
        problems.add("tensor '{}' is not in {}, where the index says it is", tensor, shard);
      }
    }
    if (problems.empty() && quantization.fp8) {
      attach_fp8_scales(quantization.block, tensors_, problems);
    }
    return problems.status(code, path_);
  }

  // Adds one file's tensors; `seen` collects their names as the file spells them.
  Status read_file(const std::string& name, const WeightFiles& weights, bool multimodal,
                   std::set<std::string, std::less<>>& seen, ProblemList& problems) {
    const std::string path = file(name);
    ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::open(path));
    RETURN_IF_ERROR(refuse_lfs_pointer(text_of(mapped.bytes()), path));
    ASSIGN_OR_RETURN(std::vector<StoredTensor> tensors,
                     name.ends_with(".bin") ? parse_torch_file(mapped.bytes(), path)
                                            : parse_safetensors(mapped.bytes(), path));
    for (StoredTensor& tensor : tensors) {
      const auto listed = weights.listed.find(tensor.name);
      if (listed != weights.listed.end() && listed->second != name) {
        problems.add("tensor '{}' is in {}; the index says {}", tensor.name, name, listed->second);
        continue;
      }
      seen.insert(tensor.name);
      add_tensor(std::move(tensor), name, multimodal, problems);
    }
    release(mapped.bytes().data(), mapped.bytes().size());
    files_.push_back(std::move(mapped));
    return Status();
  }

  void add_tensor(StoredTensor tensor, const std::string& file_name, bool multimodal,
                  ProblemList& problems) {
    if (is_buffer(tensor.name) || (multimodal && is_vision(tensor.name))) return;
    std::string name = multimodal ? text_name(tensor.name) : tensor.name;
    TensorRecord record{
        name, std::move(tensor.name), tensor.dtype, tensor.shape, tensor.data, tensor.bytes};
    if (!tensors_.emplace(name, std::move(record)).second) {
      problems.add("tensor '{}' occurs a second time in {}", name, file_name);
    }
  }

  std::vector<MappedFile> files_;
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> open_hf_checkpoint(const std::string& path,
                                                       CheckpointParts parts) {
  auto checkpoint = std::make_unique<HfCheckpoint>(path);
  RETURN_IF_ERROR(checkpoint->read(parts));
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

}  // namespace lmdeploy
