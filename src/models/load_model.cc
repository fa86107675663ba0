#include <fmt/format.h>

#include "checkpoint/weight_type.h"
#include "models/causal_lm.h"
#include "models/registry.h"

namespace lmdeploy {
namespace {

Result<std::optional<DType>> weight_type(const std::string& dtype) {
  if (dtype == "auto") return std::optional<DType>();
  if (dtype == "float32") return std::optional<DType>(DType::kF32);
  if (dtype == "float16") return std::optional<DType>(DType::kF16);
  if (dtype == "bfloat16") return std::optional<DType>(DType::kBF16);
  return invalid_argument("dtype is '{}'; expected auto, float32, float16 or bfloat16", dtype);
}

// The configuration with what the options and the tensors say better: without an output matrix the
// embedding is tied, whatever the configuration says or leaves to the class default.
Result<json::object> overridden_config(const Checkpoint& checkpoint, const ModelOptions& options,
                                       const ModelEntry& entry) {
  json::object config = checkpoint.config();
  if (!options.dummy_weights && checkpoint.find(std::string(entry.head) + ".weight") == nullptr) {
    config["tie_word_embeddings"] = true;
  }
  if (options.use_logn_attn) config["use_logn_attn"] = true;
  const double factor = options.rope_scaling_factor;
  if (factor == 0) return config;
  if (!(factor >= 1.0 && factor <= 1e6)) {
    return invalid_argument(
        "rope_scaling_factor is {}; expected 0 (the model's own scaling) or a "
        "dynamic NTK factor of at least 1",
        factor);
  }
  config["rope_scaling"] = json::object{{"rope_type", "dynamic"}, {"factor", factor}};
  return config;
}

Result<std::string> architecture_of(const json::object& config) {
  const json::value* names = find(config, "architectures");
  if (names == nullptr || !names->is_array() || names->as_array().empty() ||
      !names->as_array()[0].is_string()) {
    return invalid_argument(
        "config.json names no architecture: 'architectures' must be a list that "
        "begins with a string");
  }
  return std::string(names->as_array()[0].as_string());
}

// On CUDA, where the caller leaves it open: all matrices have one type there.
DType device_type(const Checkpoint& checkpoint, const ModelEntry& entry) {
  const DType stored = stored_weight_type(checkpoint);
  return stored == DType::kF16 && entry.leaves_f16_range ? DType::kBF16 : stored;
}

// What loading needs beside the files: threads, and what brings weights to a device.
struct Loader {
  std::unique_ptr<Uploader> uploader;
  std::unique_ptr<ThreadPool> own_pool;
  ThreadPool* pool = nullptr;
};

Result<Loader> make_loader(Stream& stream) {
  Loader loader;
  if (stream.device().is_cpu()) {
    loader.pool = &static_cast<CpuStream&>(stream).pool();
    return loader;
  }
  ASSIGN_OR_RETURN(loader.uploader, make_uploader(stream.device()));
  loader.own_pool = std::make_unique<ThreadPool>();
  loader.pool = loader.own_pool.get();
  return loader;
}

Status execute(const LoadPlan& plan, const Checkpoint& checkpoint, std::optional<DType> dummy,
               const Loader& loader, Stream& stream, const LoadProgress& progress) {
  if (dummy.has_value()) {
    RETURN_IF_ERROR(plan.execute_dummy(*dummy, *loader.pool, loader.uploader != nullptr));
  } else {
    RETURN_IF_ERROR(plan.execute(checkpoint, *loader.pool, progress));
  }
  if (loader.uploader == nullptr) return {};
  stream.synchronize();
  return loader.uploader->finish();
}

}  // namespace

Result<std::unique_ptr<CausalLm>> load_model(const Checkpoint& checkpoint,
                                             const ModelOptions& options, Stream& stream,
                                             const LoadProgress& progress,
                                             const LoadConsent& consent) {
  ASSIGN_OR_RETURN(const std::string architecture, architecture_of(checkpoint.config()));
  ASSIGN_OR_RETURN(const ModelEntry* entry, find_model(architecture));
  ASSIGN_OR_RETURN(const json::object config, overridden_config(checkpoint, options, *entry));
  ASSIGN_OR_RETURN(const Loader loader, make_loader(stream));
  const Device device = stream.device();
  BuildOptions build{.device = device, .uploader = loader.uploader.get(), .stream = &stream};
  build.batch_invariant = options.batch_invariant;
  build.parallel = options.parallel;
  build.memory = std::make_shared<WeightArena>(device);
  if (!options.dummy_weights) build.checkpoint = &checkpoint;
  ASSIGN_OR_RETURN(build.weights, weight_type(options.dtype));
  if (!device.is_cpu() && !build.weights.has_value()) build.weights = device_type(checkpoint, *entry);
  ConfigReader reader(config, fmt::format("configuration of {}", checkpoint.path()));
  LoadPlan plan;
  ASSIGN_OR_RETURN(std::unique_ptr<BuiltModel> model, entry->make(reader, Weights(plan), build));
  std::optional<DType> dummy;
  if (options.dummy_weights) {
    dummy = build.weights.value_or(configured_weight_type(config));
  } else {
    RETURN_IF_ERROR(plan.check(checkpoint));
  }
  if (consent) {
    ModelInfo needs = model->info();
    needs.weight_bytes = dummy ? plan.dummy_bytes(*dummy) : plan.bytes(checkpoint);
    RETURN_IF_ERROR(consent(needs));
  }
  RETURN_IF_ERROR(execute(plan, checkpoint, dummy, loader, stream, progress));
  model->finish_load();
  return std::unique_ptr<CausalLm>(std::move(model));
}

}  // namespace lmdeploy
