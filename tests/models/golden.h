// Tiny random checkpoints and what transformers computes with them (tools/make_golden.py).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "models/causal_lm.h"
#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy {

struct TinyTensor {
  Shape shape;
  std::vector<float> values;
};
using TinyWeights = std::map<std::string, TinyTensor>;

struct GoldenPrompt {
  std::vector<int32_t> ids;
  std::vector<int> rows;  // tokens whose logits are kept
};

// How far transformers in a 16-bit dtype is from its own fp32.
struct GoldenError {
  double max = 0, rms = 0;
};

struct Golden {
  std::string name;
  json::object config;
  TinyWeights weights;
  std::vector<GoldenPrompt> prompts;
  std::map<std::string, GoldenError> errors;  // by dtype
  std::vector<std::vector<float>> logits;     // [rows of all prompts][vocab]
};

// Names of all goldens.
std::vector<std::string> golden_names();
Golden read_golden(const std::string& name);

// Writes config.json and model.safetensors (fp32).
void write_checkpoint(const TemporaryDirectory& directory, const json::object& config,
                      const TinyWeights& weights);

// Writes a checkpoint and loads it as the program would.
Result<std::unique_ptr<CausalLm>> load_tiny(const json::object& config, const TinyWeights& weights,
                                            const std::string& dtype, Stream& stream,
                                            const Parallel& parallel = {});

// Difference between the model's logits and the golden's over all kept rows.
GoldenError golden_error(const Golden& golden, CausalLm& model, Stream& stream, DType kv_dtype,
                         Communicator* ranks = nullptr);

// Two threads.
std::unique_ptr<Stream> test_stream();

}  // namespace lmdeploy
