#include "tests/models/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "tests/models/batch_runner.h"

namespace lmdeploy {
namespace {

std::string golden_path(const std::string& name) {
  return std::string(LMDEPLOY_TEST_DATA) + "/goldens/" + name;
}

json::object read_object(const std::string& path) {
  Result<json::value> value = read_json_file(path);
  CHECK(value.ok(), "{}", value.status().message());
  return value->as_object();
}

// The first rule [suffix, mean, stddev] that fits.
TinyTensor random_tensor(const std::string& name, const json::array& extents,
                         const json::array& rules) {
  TinyTensor tensor;
  for (const json::value& extent : extents) tensor.shape.push_back(extent.to_number<int64_t>());
  for (const json::value& rule : rules) {
    const json::array& parts = rule.as_array();
    if (!name.ends_with(std::string_view(parts[0].as_string()))) continue;
    const double mean = static_cast<float>(parts[1].to_number<double>());
    const double stddev = static_cast<float>(parts[2].to_number<double>());
    const uint64_t key = hash_name(name);
    for (int64_t i = 0; i < tensor.shape.numel(); ++i) {
      tensor.values.push_back(
          static_cast<float>(mean + stddev * hash_normal(key, static_cast<uint64_t>(i))));
    }
    return tensor;
  }
  CHECK(false, "no rule for {}", name);
}

std::vector<std::vector<float>> read_logits(const std::string& path, size_t vocab) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::vector<float>> rows;
  std::vector<float> row(vocab);
  while (file.read(reinterpret_cast<char*>(row.data()), static_cast<long>(vocab * sizeof(float)))) {
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_path(""))) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Golden read_golden(const std::string& name) {
  Golden golden{.name = name, .config = read_object(golden_path(name) + "/config.json")};
  const json::object file = read_object(golden_path(name) + "/golden.json");
  for (const auto& [tensor, extents] : file.at("tensors").as_object()) {
    golden.weights[std::string(tensor)] =
        random_tensor(std::string(tensor), extents.as_array(), file.at("stddev").as_array());
  }
  for (const json::value& value : file.at("prompts").as_array()) {
    GoldenPrompt prompt;
    for (const json::value& id : value.at("ids").as_array())
      prompt.ids.push_back(id.to_number<int32_t>());
    for (const json::value& row : value.at("rows").as_array())
      prompt.rows.push_back(row.to_number<int>());
    golden.prompts.push_back(std::move(prompt));
  }
  for (const auto& [dtype, error] : file.at("errors").as_object()) {
    golden.errors[std::string(dtype)] = {error.at("max").to_number<double>(),
                                         error.at("rms").to_number<double>()};
  }
  const char* vocab_key = golden.config.contains("padded_vocab_size") ? "padded_vocab_size" : "vocab_size";
  golden.logits = read_logits(golden_path(name) + "/logits.f32",
                              golden.config.at(vocab_key).to_number<size_t>());
  return golden;
}

void write_checkpoint(const TemporaryDirectory& directory, const json::object& config,
                      const TinyWeights& weights) {
  json::object header;
  std::string data;
  for (const auto& [name, tensor] : weights) {
    const size_t begin = data.size(), bytes = tensor.values.size() * sizeof(float);
    data.append(reinterpret_cast<const char*>(tensor.values.data()), bytes);
    json::array shape;
    for (int axis = 0; axis < tensor.shape.rank(); ++axis) shape.push_back(tensor.shape[axis]);
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, begin + bytes}}};
  }
  const std::string text = to_json_text(header);
  const uint64_t length = text.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  directory.write("config.json", to_json_text(config));
  directory.write("model.safetensors", file + text + data);
}

Result<std::unique_ptr<CausalLm>> load_tiny(const json::object& config, const TinyWeights& weights,
                                            const std::string& dtype, Stream& stream,
                                            const Parallel& parallel) {
  TemporaryDirectory directory;
  write_checkpoint(directory, config, weights);
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                   Checkpoint::open(directory.path()));
  return load_model(*checkpoint, {.dtype = dtype, .parallel = parallel}, stream);
}

GoldenError golden_error(const Golden& golden, CausalLm& model, Stream& stream, DType kv_dtype,
                         Communicator* ranks) {
  BatchRunner runner(model, stream, {.kv_dtype = kv_dtype, .ranks = ranks});
  GoldenError error;
  double squares = 0;
  size_t expected = 0, values = 0;
  for (size_t p = 0; p < golden.prompts.size(); ++p) {
    const auto logits = runner.prefill(static_cast<int>(p), golden.prompts[p].ids);
    for (int row : golden.prompts[p].rows) {
      const std::vector<float>& want = golden.logits[expected++];
      const std::vector<float>& got = logits[static_cast<size_t>(row)];
      CHECK(want.size() == got.size(), "{} logits", got.size());
      for (size_t i = 0; i < want.size(); ++i) {
        const double difference = std::fabs(double{got[i]} - want[i]);
        if (!(difference <= error.max)) error.max = std::isnan(difference) ? INFINITY : difference;
        squares += difference * difference;
        ++values;
      }
    }
  }
  CHECK(expected == golden.logits.size(), "{} rows of {}", expected, golden.logits.size());
  error.rms = std::sqrt(squares / static_cast<double>(values));
  return error;
}

std::unique_ptr<Stream> test_stream() {
  Result<CpuIsa> isa = CpuIsa::from_environment();
  CHECK(isa.ok(), "{}", isa.status().message());
  return std::make_unique<CpuStream>(2, *isa);
}

}  // namespace lmdeploy
