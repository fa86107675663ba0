#include "checkpoint/gguf_checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "base/utf8.h"
#include "checkpoint/gguf_architecture.h"
#include "checkpoint/gguf_file.h"
#include "checkpoint/mapped_file.h"
#include "checkpoint/problem_list.h"
#include "checkpoint/weight_files.h"

namespace lmdeploy {

namespace {

std::optional<int32_t> token_id(const GgufMetadata& metadata, std::string_view name,
                                size_t vocabulary, ProblemList& problems) {
  const std::string key = fmt::format("tokenizer.ggml.{}", name);
  const std::optional<int64_t> id = metadata.integer(key, problems);
  if (!id) return std::nullopt;
  if (*id < 0 || static_cast<uint64_t>(*id) >= vocabulary) {
    problems.add("metadata value '{}' is {}, outside the vocabulary of {} tokens", key, *id,
                 vocabulary);
    return std::nullopt;
  }
  return static_cast<int32_t>(*id);
}

GgufTokenizerMetadata read_tokenizer(const GgufMetadata& metadata, ProblemList& problems) {
  GgufTokenizerMetadata out;
  out.model = metadata.string("tokenizer.ggml.model", problems).value_or("");
  out.pre = metadata.string("tokenizer.ggml.pre", problems).value_or("");
  out.tokens = metadata.strings("tokenizer.ggml.tokens", problems);
  out.merges = metadata.strings("tokenizer.ggml.merges", problems);
  out.scores = metadata.floats("tokenizer.ggml.scores", problems);
  for (int64_t type : metadata.integers("tokenizer.ggml.token_type", problems)) {
    out.token_types.push_back(static_cast<int32_t>(std::clamp<int64_t>(type, 0, 255)));
  }
  const size_t count = out.tokens.size();
  if (count > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    problems.add("the vocabulary has {} tokens", count);
  }
  for (auto [what, size] :
       {std::pair("scores", out.scores.size()), std::pair("token_type", out.token_types.size())}) {
    if (size == 0 || size == count) continue;
    problems.add("metadata value 'tokenizer.ggml.{}' has {} elements for {} tokens", what, size,
                 count);
  }
  out.bos = token_id(metadata, "bos_token_id", count, problems);
  out.eos = token_id(metadata, "eos_token_id", count, problems);
  out.eot = token_id(metadata, "eot_token_id", count, problems);
  out.unknown = token_id(metadata, "unknown_token_id", count, problems);
  out.padding = token_id(metadata, "padding_token_id", count, problems);
  out.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token", problems);
  out.add_eos = metadata.boolean("tokenizer.ggml.add_eos_token", problems);
  out.add_space_prefix = metadata.boolean("tokenizer.ggml.add_space_prefix", problems);
  return out;
}

class GgufCheckpoint final : public Checkpoint {
 public:
  GgufCheckpoint(std::string path, MappedFile file) : file_(std::move(file)) {
    path_ = std::move(path);
  }

  Status read() {
    RETURN_IF_ERROR(refuse_lfs_pointer(
        {reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()}, path_));
    ASSIGN_OR_RETURN(const GgufFile gguf, parse_gguf(file_.bytes(), path_));
    ProblemList problems;
    const auto name = gguf.metadata.string("general.architecture", problems);
    if (!name) {
      problems.add(
          "metadata value 'general.architecture' is missing: this is no language model "
          "(an adapter, a projector or a bare vocabulary)");
      return problems.status(StatusCode::kDataLoss, path_);
    }
    RETURN_IF_ERROR(refuse_partial(gguf, *name));
    const auto architecture = find_gguf_architecture(*name);
    if (!architecture.ok()) {
      return Status(architecture.status().code(),
                    fmt::format("{}: {}", path_, architecture.status().message()));
    }
    config_ = gguf_config(**architecture, gguf, problems);
    gguf_tokenizer_ = read_tokenizer(gguf.metadata, problems);
    gguf_chat_template_ = gguf.metadata.string("tokenizer.chat_template", problems).value_or("");
    model_name_ = utf8_replace_invalid(gguf.metadata.string("general.name", problems).value_or(""));
    if (model_name_.empty()) model_name_ = std::filesystem::path(path_).stem().string();
    add_tensors(**architecture, gguf, problems);
    release(file_.bytes().data(), file_.bytes().size());
    return problems.status(StatusCode::kDataLoss, path_);
  }

 private:
  // Files that hold less than a model.
  Status refuse_partial(const GgufFile& gguf, std::string_view architecture) const {
    ProblemList problems;
    const int64_t splits = gguf.metadata.integer("split.count", problems).value_or(1);
    if (splits > 1) {
      return unsupported(
          "{} is one of {} parts of a split GGUF; join them first: "
          "llama-gguf-split --merge FIRST_PART OUTPUT",
          path_, splits);
    }
    const auto type = gguf.metadata.string("general.type", problems);
    if (type == "adapter" || architecture == "clip") {
      return unsupported("{} is {}, not a language model", path_,
                         type == "adapter" ? "a LoRA adapter" : "a vision projector");
    }
    return Status();
  }

  void add_tensors(const GgufArchitecture& architecture, const GgufFile& gguf,
                   ProblemList& problems) {
    for (const GgufTensor& tensor : gguf.tensors) {
      if (gguf_is_configuration(architecture, tensor.name)) continue;
      TensorRecord record{hf_tensor_name(architecture, utf8_replace_invalid(tensor.name)),
                          utf8_replace_invalid(tensor.name),
                          tensor.dtype,
                          tensor.shape,
                          tensor.data,
                          tensor.bytes};
      record.baked = gguf_baked(architecture, record.name);
      const size_t star = record.name.find('*');
      if (star == std::string::npos || record.shape.rank() != 3 || record.shape[0] < 1) {
        add(std::move(record), problems);
      } else {
        add_experts(record, star, problems);
      }
    }
  }

  void add(TensorRecord record, ProblemList& problems) {
    std::string key = record.name, source = record.source;
    if (!tensors_.emplace(std::move(key), std::move(record)).second) {
      problems.add("tensor '{}' means the same as another", source);
    }
  }

  // Each expert's part of a tensor [experts, out, in] as a tensor of its own.
  void add_experts(const TensorRecord& all, size_t star, ProblemList& problems) {
    constexpr int64_t kMaxExperts = 4096;
    const int64_t experts = all.shape[0];
    if (experts > kMaxExperts) {
      problems.add("tensor '{}' has {} experts; at most {} are possible", all.source, experts,
                   kMaxExperts);
      return;
    }
    const size_t bytes = all.bytes / static_cast<size_t>(experts);
    for (int64_t expert = 0; expert < experts; ++expert) {
      TensorRecord one = all;
      one.name.replace(star, 1, std::to_string(expert));
      one.shape = Shape{all.shape[1], all.shape[2]};
      one.data = all.data + static_cast<size_t>(expert) * bytes;
      one.bytes = bytes;
      add(std::move(one), problems);
    }
  }

  MappedFile file_;
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> open_gguf_checkpoint(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path));
  auto checkpoint = std::make_unique<GgufCheckpoint>(path, std::move(file));
  RETURN_IF_ERROR(checkpoint->read());
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

}  // namespace lmdeploy
