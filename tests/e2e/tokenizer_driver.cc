// Runs a tokenizer over records from stdin, for tests/e2e/test_tokenizers.py.
//
// tokenizer_driver VOCABULARY COMMAND. VOCABULARY is what Tokenizer::from_file takes, or a file
// *.gguf.json: a GGUF vocabulary's fields as JSON. Records are a little-endian uint32 count and that
// many bytes (text) or int32 (ids).
//   encode / encode-plain: texts -> ids, with / without special tokens around them
//   decode / decode-all:   ids -> text, special tokens skipped / kept
//   stream:                ids -> the concatenated output of an IncrementalDetokenizer, all kept
//   time:                  texts -> a line "seconds bytes ids": processor time of encoding them all, best of 3
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <map>

#include "base/json.h"
#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace lmdeploy {
namespace {

template <class T>
bool read_record(std::vector<T>& items) {
  uint32_t count = 0;
  if (std::fread(&count, sizeof(count), 1, stdin) != 1) return false;
  items.resize(count);
  return std::fread(items.data(), sizeof(T), count, stdin) == count;
}

template <class T>
void write_record(std::span<const T> items) {
  const auto count = static_cast<uint32_t>(items.size());
  std::fwrite(&count, sizeof(count), 1, stdout);
  std::fwrite(items.data(), sizeof(T), items.size(), stdout);
}

std::string_view text_of(const std::vector<char>& bytes) { return {bytes.data(), bytes.size()}; }

template <class T>
void read_list(const json::object& file, const char* key, std::vector<T>& list) {
  const json::value* values = find(file, key);
  if (values == nullptr) return;
  for (const json::value& value : values->as_array()) {
    if constexpr (std::is_same_v<T, std::string>) {
      list.emplace_back(value.as_string());
    } else {
      list.push_back(value.to_number<T>());
    }
  }
}

Result<std::unique_ptr<Tokenizer>> load(const std::string& path) {
  if (!path.ends_with(".gguf.json")) return Tokenizer::from_file(path);
  ASSIGN_OR_RETURN(const json::value value, read_json_file(path));
  const json::object& file = value.as_object();
  GgufVocabulary vocabulary;
  vocabulary.model = get_string(file, "model")->value_or("");
  vocabulary.pre = get_string(file, "pre")->value_or("");
  read_list(file, "tokens", vocabulary.tokens);
  read_list(file, "scores", vocabulary.scores);
  read_list(file, "token_types", vocabulary.token_types);
  read_list(file, "merges", vocabulary.merges);
  vocabulary.bos = *get_int(file, "bos");
  vocabulary.eos = *get_int(file, "eos");
  vocabulary.unknown = *get_int(file, "unknown");
  vocabulary.add_bos = *get_bool(file, "add_bos");
  vocabulary.add_eos = *get_bool(file, "add_eos");
  vocabulary.add_space_prefix = *get_bool(file, "add_space_prefix");
  return Tokenizer::from_gguf(std::move(vocabulary));
}

void encode(const Tokenizer& tokenizer, bool special) {
  std::vector<char> text;
  while (read_record(text)) {
    const std::vector<int32_t> ids =
        tokenizer.encode(text_of(text), {.add_special_tokens = special});
    write_record(std::span<const int32_t>(ids));
  }
}

void decode(const Tokenizer& tokenizer, bool skip) {
  std::vector<int32_t> ids;
  while (read_record(ids)) {
    const std::string text = tokenizer.decode(ids, {.skip_special_tokens = skip});
    write_record(std::span<const char>(text));
  }
}

void stream(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  while (read_record(ids)) {
    IncrementalDetokenizer detokenizer(tokenizer, {.skip_special_tokens = false});
    std::string text;
    for (const int32_t id : ids) {
      const std::string piece = detokenizer.push(id);
      CHECK(utf8_valid(piece), "a broken sequence after id {}", id);
      text += piece;
    }
    text += detokenizer.flush();
    write_record(std::span<const char>(text));
  }
}

void measure(const Tokenizer& tokenizer) {
  std::vector<std::vector<char>> texts(1);
  while (read_record(texts.back())) texts.emplace_back();
  texts.pop_back();
  double best = 1e30;
  size_t bytes = 0, ids = 0;
  for (int round = 0; round < 3; ++round) {
    bytes = ids = 0;
    const std::clock_t start = std::clock();
    for (const auto& text : texts) {
      bytes += text.size();
      ids += tokenizer.encode(text_of(text), {.add_special_tokens = false}).size();
    }
    best = std::min(best, static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
  }
  fmt::print("{} {} {}\n", best, bytes, ids);
}

int run(const std::string& path, const std::string& command) {
  const auto tokenizer = load(path);
  if (!tokenizer.ok()) {
    fmt::print(stderr, "{}\n", tokenizer.status().message());
    return 1;
  }
  const Tokenizer& t = **tokenizer;
  const std::map<std::string, std::function<void()>> commands = {
      {"encode", [&] { encode(t, true); }},      {"encode-plain", [&] { encode(t, false); }},
      {"decode", [&] { decode(t, true); }},      {"decode-all", [&] { decode(t, false); }},
      {"stream", [&] { stream(t); }},            {"time", [&] { measure(t); }},
  };
  const auto chosen = commands.find(command);
  if (chosen == commands.end()) {
    fmt::print(stderr, "unknown command '{}'\n", command);
    return 2;
  }
  chosen->second();
  return 0;
}

}  // namespace
}  // namespace lmdeploy

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: tokenizer_driver VOCABULARY COMMAND\n");
    return 2;
  }
  return lmdeploy::run(argv[1], argv[2]);
}
