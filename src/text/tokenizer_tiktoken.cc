// Files of tiktoken (a base64 piece and its rank a line) -> TokenizerParts. The file has neither
// the regex that cuts words nor the special tokens; the family says both, and its size says the
// family.
#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <utility>

#include "base/utf8.h"
#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/known_patterns.h"
#include "text/scored_merges.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

namespace {

struct NamedToken {
  int32_t id;
  std::string name;
};

struct Family {
  const char* name;
  size_t ranks;
  const char* pattern;
  bool nfc;  // the text is normalized before special tokens are looked for
  std::vector<NamedToken> special;
  std::vector<std::string> prefix;  // before every text
  std::string bos, eos;
};

std::vector<NamedToken> numbered(int32_t first, std::initializer_list<const char*> names) {
  std::vector<NamedToken> tokens;
  for (const char* name : names) tokens.push_back({first++, name});
  return tokens;
}

// `count` tokens more, format(first number), ...
void add_numbered(std::vector<NamedToken>& tokens, const char* stem, int first, int count) {
  for (int i = first; i < first + count; ++i)
    tokens.push_back({tokens.back().id + 1, fmt::format("{}{}|>", stem, i)});
}

Family qwen() {
  Family family{"Qwen",
                151643,
                kQwen2Pattern,
                true,
                numbered(151643, {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}),
                {},
                "",
                "<|endoftext|>"};
  add_numbered(family.special, "<|extra_", 0, 205);
  return family;
}

Family llama3() {
  Family family{
      "Llama 3",
      128000,
      kLlama3Pattern,
      false,
      numbered(128000, {"<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
                        "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>", "<|step_id|>",
                        "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>",
                        "<|python_tag|>", "<|image|>"}),
      {"<|begin_of_text|>"},
      "<|begin_of_text|>",
      "<|end_of_text|>"};
  add_numbered(family.special, "<|reserved_special_token_", 2, 244);
  return family;
}

Family glm4() {
  return {"GLM-4",
          151329,
          kLlama3Pattern,
          false,
          numbered(151329,
                   {"<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>",
                    "<|user|>", "<|assistant|>", "<|observation|>", "<|begin_of_image|>",
                    "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"}),
          {"[gMASK]", "<sop>"},
          "",
          "<|endoftext|>"};
}

// DBRX puts its chat marks behind OpenAI's own special tokens.
Family cl100k() {
  return {"cl100k_base",
          100256,
          kLlama3Pattern,
          false,
          {{100257, "<|endoftext|>"},
           {100258, "<|fim_prefix|>"},
           {100259, "<|fim_middle|>"},
           {100260, "<|fim_suffix|>"},
           {100276, "<|endofprompt|>"},
           {100277, "<|pad|>"},
           {100278, "<|im_start|>"},
           {100279, "<|im_end|>"}},
          {},
          "",
          "<|endoftext|>"};
}

Family o200k() {
  return {"o200k_base",
          199998,
          kO200kPattern,
          false,
          {{199999, "<|endoftext|>"}, {200018, "<|endofprompt|>"}},
          {},
          "",
          "<|endoftext|>"};
}

Result<Family> family_of(size_t ranks, std::string_view name, const TokenizerConfig& config) {
  if (name == "qwen.tiktoken" || config.tokenizer_class == "QWenTokenizer") return qwen();
  if (config.tokenizer_class == "ChatGLM4Tokenizer") return glm4();
  std::string known;
  for (Family (*make)() : {qwen, llama3, glm4, cl100k, o200k}) {
    Family family = make();
    if (family.ranks == ranks) return family;
    known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", family.name, family.ranks);
  }
  return unsupported(
      "its {} ranks are of no family whose regex is known: {}. Take the model's tokenizer.json",
      ranks, known);
}

int sextet_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// nullopt for what is no base64, or stands for nothing.
std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int sextet = sextet_of(c);
    if (sextet < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(sextet);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count);
  }
  if (out.empty()) return std::nullopt;
  return out;
}

struct RankedPiece {
  std::string bytes;
  int32_t rank;
};

// "aGVsbG8= 15339"
std::optional<RankedPiece> parse_line(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  auto bytes = decode_base64(line.substr(0, space));
  int32_t rank = -1;
  const auto [end, error] =
      std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
  if (!bytes || error != std::errc() || end != line.data() + line.size() || rank < 0)
    return std::nullopt;
  return RankedPiece{std::move(*bytes), rank};
}

std::string_view next_line(std::string_view& rest) {
  const size_t end = std::min(rest.find('\n'), rest.size());
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

struct RankFile {
  std::vector<std::string> pieces;  // bytes, by rank; empty: no such rank
  PieceTable ids;
  size_t count = 0;
};

Status put_piece(RankedPiece piece, int64_t limit, RankFile& file) {
  RETURN_IF_ERROR(check_piece(piece.bytes, piece.rank));
  if (piece.rank >= limit)
    return data_loss("the rank {} is out of proportion to a file of this size", piece.rank);
  const auto rank = static_cast<size_t>(piece.rank);
  if (rank >= file.pieces.size()) file.pieces.resize(rank + 1);
  if (!file.pieces[rank].empty()) return data_loss("the rank {} is there twice", rank);
  if (!file.ids.insert(piece.bytes, piece.rank)) {
    return data_loss("the piece '{}' is there twice, with rank {} too", shown_piece(piece.bytes),
                     rank);
  }
  file.pieces[rank] = std::move(piece.bytes);
  ++file.count;
  return {};
}

Result<RankFile> parse_ranks(std::string_view text) {
  RankFile file;
  const int64_t limit = id_limit(text.size() / 7);  // "QQ== 0\n"
  for (size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = next_line(text);
    if (line.empty()) continue;
    auto piece = parse_line(line);
    if (!piece) {
      return data_loss("line {} is '{}'; expected a base64 piece and its rank", number,
                       shown_piece(line));
    }
    RETURN_IF_ERROR(put_piece(std::move(*piece), limit, file));
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (file.ids.find(std::string(1, static_cast<char>(byte))) < 0) {
      return data_loss("the byte {:#04x} is no piece; a tiktoken file has all 256", byte);
    }
  }
  return file;
}

std::string spelled(std::string_view bytes) {
  std::string piece;
  for (const char c : bytes) utf8_append(piece, byte_level_char(static_cast<unsigned char>(c)));
  return piece;
}

Result<std::unique_ptr<TokenModel>> make_model(const RankFile& file,
                                               const std::vector<std::string>& pieces) {
  std::vector<uint32_t> ranks(file.pieces.size());
  std::vector<bool> mergeable(file.pieces.size());
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    ranks[rank] = static_cast<uint32_t>(rank);
    mergeable[rank] = !file.pieces[rank].empty();
  }
  ASSIGN_OR_RETURN(const auto rules, find_merges({file.pieces, file.ids, ranks, mergeable, true}));
  return std::unique_ptr<TokenModel>(std::make_unique<Bpe>(
      pieces, mergeable, rules, BpeOptions{.byte_level = true, .ignore_merges = true}));
}

// The files beside it may name tokens otherwise than the family does, and then decide.
std::vector<AddedToken> special_tokens(const Family& family, const TokenizerConfig& config) {
  std::vector<AddedToken> tokens = config.added;
  for (const NamedToken& token : family.special) {
    tokens.push_back({.id = token.id, .content = token.name, .special = true});
  }
  return tokens;
}

void fill_ends(const Family& family, const TokenizerConfig& config, TokenizerParts& parts) {
  const auto id_of = [&](const std::string& name) {
    const int32_t id = parts.ids.find(name);
    return id < 0 ? std::nullopt : std::optional<int32_t>(id);
  };
  for (const std::string& name : family.prefix) {
    if (const auto id = id_of(name)) parts.prefix.push_back(*id);
  }
  apply_tokenizer_config(config, parts);
  if (!parts.bos) parts.bos = id_of(family.bos);
  if (!parts.eos) parts.eos = id_of(family.eos);
}

}  // namespace

bool is_tiktoken(std::string_view file) {
  constexpr size_t kMostOfALine = 4096;
  std::string_view rest = file.substr(0, kMostOfALine);
  return parse_line(next_line(rest)).has_value();
}

Result<TokenizerParts> read_tiktoken(std::string_view text, std::string_view name,
                                     const TokenizerConfig& config) {
  ASSIGN_OR_RETURN(const RankFile file, parse_ranks(text));
  ASSIGN_OR_RETURN(const Family family, family_of(file.count, name, config));
  TokenizerParts parts;
  for (const std::string& bytes : file.pieces) {
    parts.pieces.push_back(spelled(bytes));
    if (!bytes.empty())
      parts.ids.insert(parts.pieces.back(), static_cast<int32_t>(parts.pieces.size()) - 1);
  }
  ASSIGN_OR_RETURN(parts.model, make_model(file, parts.pieces));
  // The special ids stand behind the family's ranks, even where a file lacks some of them.
  parts.pieces.resize(std::max(parts.pieces.size(), family.ranks));
  RETURN_IF_ERROR(add_tokens(special_tokens(family, config),
                             family.nfc ? parts.normalized_tokens : parts.raw_tokens, parts));
  if (family.nfc) parts.normalizer.add(make_normal_form(NormalForm::kNfc));
  ASSIGN_OR_RETURN(auto matcher, make_matcher(family.pattern));
  parts.pre_tokenizer.add(make_split(std::move(matcher), SplitBehavior::kIsolated, false));
  parts.decoder.mode = TokenDecoder::Mode::kBytes;
  for (size_t id = 0; id < parts.pieces.size(); ++id) {
    const bool ranked = id < file.pieces.size() && parts.pieces[id] == spelled(file.pieces[id]);
    parts.decoder.add(ranked ? file.pieces[id] : parts.pieces[id]);
  }
  fill_ends(family, config, parts);
  return parts;
}

}  // namespace lmdeploy
