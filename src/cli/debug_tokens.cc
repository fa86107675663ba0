// lmdeploy debug tokens: what a text becomes, and what those tokens say again.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "base/json.h"
#include "cli/debug.h"
#include "cli/program.h"
#include "engine/model_text.h"

namespace lmdeploy::cli {

namespace {

struct DebugTokensOptions {
  std::string source;
  std::optional<std::string> text, file;
  bool no_special = false;
  bool json = false;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "text", .help = "text to encode"}, self.text);
    visit({.name = "file",
           .help = "encode this file's text; - is standard input",
           .value_name = "PATH"},
          self.file);
    visit({.name = "no-special",
           .help = "add no BOS or EOS; special tokens spelled in the text are still found"},
          self.no_special);
    visit({.name = "json", .help = "print one JSON object"}, self.json);
  }
};

Result<std::string> input_text(const DebugTokensOptions& options) {
  if (options.text.has_value() == options.file.has_value()) {
    return invalid_argument("give one of --text and --file");
  }
  if (options.text) return *options.text;
  std::ostringstream out;
  if (*options.file == "-") {
    int c;
    while ((c = std::getchar()) != EOF) out.put(static_cast<char>(c));
    return out.str();
  }
  std::error_code error;
  if (std::filesystem::is_directory(*options.file, error)) {
    return invalid_argument("--file {} is a directory; give a file of text", *options.file);
  }
  std::ifstream in(*options.file, std::ios::binary);
  if (!in) return not_found("{} cannot be read", *options.file);
  if (in.peek() != std::ifstream::traits_type::eof()) out << in.rdbuf();
  if (in.bad() || !out) return not_found("{} cannot be read", *options.file);
  return out.str();
}

void print_json(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                const std::string& decoded) {
  std::string out = "{\"ids\": [";
  for (size_t i = 0; i < ids.size(); ++i) out += (i == 0 ? "" : ", ") + std::to_string(ids[i]);
  out += "], \"tokens\": [";
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out += ", ";
    append_json_string(out, tokenizer.piece(ids[i]));
  }
  out += "], \"text\": ";
  append_json_string(out, decoded);
  std::puts((out + "}").c_str());
}

void print_table(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                 const std::string& decoded) {
  for (int32_t id : ids) {
    std::string shown;
    append_json_string(shown, tokenizer.piece(id));
    std::printf("%8d  %s%s\n", id, shown.c_str(), tokenizer.is_special(id) ? "  special" : "");
  }
  std::printf("%zu tokens; text: %s\n", ids.size(), decoded.c_str());
}

int debug_tokens(const DebugTokensOptions& options) {
  const Result<std::string> text = input_text(options);
  if (!text.ok()) return report_failure(text.status());
  const Result<std::unique_ptr<Tokenizer>> tokenizer = load_tokenizer(options.source);
  if (!tokenizer.ok()) return report_failure(tokenizer.status());
  const std::vector<int32_t> ids =
      (*tokenizer)->encode(*text, {.add_special_tokens = !options.no_special});
  const std::string decoded = (*tokenizer)->decode(ids, {.skip_special_tokens = false});
  if (options.json) {
    print_json(**tokenizer, ids, decoded);
  } else {
    print_table(**tokenizer, ids, decoded);
  }
  return kExitOk;
}

}  // namespace

void add_debug_tokens(Command& debug) {
  Command command = debug.subcommand("tokens", "Encode a text and decode it again.");
  auto options = std::make_shared<DebugTokensOptions>();
  command.positional("model_or_tokenizer", "model directory, .gguf file, tokenizer.json, tokenizer.model or *.tiktoken",
                     options->source);
  command.options(*options);
  command.run([options] { return debug_tokens(*options); });
}

}  // namespace lmdeploy::cli
