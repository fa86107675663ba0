// What a GGUF architecture is called in Hugging Face's world: names of tensors and configuration.
// docs/formats/gguf.md has the tables in words.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/gguf_file.h"
#include "checkpoint/problem_list.h"

namespace lmdeploy {

struct GgufArchitecture;

// The table entry for general.architecture; kUnsupported, with the list of known ones, if none.
Result<const GgufArchitecture*> find_gguf_architecture(std::string_view name);

// The Hugging Face name of a tensor: "blk.3.attn_q.weight" ->
// "model.layers.3.self_attn.q_proj.weight". A tensor that the architecture does not have keeps its
// name, so that whoever loads the model reports it as never read. A '*' in the result stands for the
// index of an expert: the tensor is all experts' [experts, out, in].
std::string hf_tensor_name(const GgufArchitecture& architecture, std::string_view gguf_name);

// Whether gguf_config() has read the tensor, which is no weight then (factors of longrope).
bool gguf_is_configuration(const GgufArchitecture& architecture, std::string_view gguf_name);

// Bit set of Baked for a tensor, by its Hugging Face name.
uint32_t gguf_baked(const GgufArchitecture& architecture, std::string_view hf_name);

// The config.json that the model would have. Missing and contradictory metadata goes to `problems`.
json::object gguf_config(const GgufArchitecture& architecture, const GgufFile& file,
                         ProblemList& problems);

}  // namespace lmdeploy
