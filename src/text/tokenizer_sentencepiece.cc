// tokenizer.model of sentencepiece and the files beside it -> TokenizerParts, as the slow
// tokenizers of transformers read them.
#include <algorithm>
#include <unordered_set>
#include <utility>

#include "text/bpe.h"
#include "text/scored_merges.h"
#include "text/sentencepiece_model.h"
#include "text/sentencepiece_normalizer.h"
#include "text/tokenizer_parts.h"
#include "text/unigram.h"

namespace lmdeploy {

namespace {

using Type = SentencepieceType;

// ChatGLM 2 and 3 put these behind the file's pieces, and the first two of the prefix before every
// text. Their names are ordinary words ("sop"), so they are not looked for in text; ChatGLM 3's
// roles are.
constexpr const char* kGlmTokens[] = {"[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"};
constexpr const char* kGlmPrefix[] = {"[gMASK]", "sop"};
constexpr const char* kGlmRoles[] = {"<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"};

bool is_glm(const TokenizerConfig& config) { return config.tokenizer_class == "ChatGLMTokenizer"; }

// ChatGLM 2 and its kin have the class of ChatGLM 3 and no roles.
bool has_glm_roles(const TokenizerConfig& config) {
  return config.name_or_path.find("chatglm2") == std::string::npos &&
         config.name_or_path.find("codegeex2") == std::string::npos;
}

std::vector<std::string> user_defined(const SentencepieceModel& model) {
  std::vector<std::string> texts;
  for (const Sentencepiece& piece : model.pieces) {
    if (piece.type == Type::kUserDefined) texts.push_back(piece.text);
  }
  return texts;
}

Status fill_pieces(const SentencepieceModel& model, TokenizerParts& parts) {
  size_t added_bytes = 0;
  for (const Sentencepiece& piece : model.pieces) {
    const auto id = static_cast<int32_t>(parts.pieces.size());
    parts.pieces.push_back(piece.text);
    parts.ids.insert(piece.text, id);
    parts.special.push_back(piece.type == Type::kControl || piece.type == Type::kUnknown);
    if (piece.type != Type::kUserDefined) continue;
    added_bytes += piece.text.size();
    RETURN_IF_ERROR(check_added_bytes(added_bytes));
    if (model.algorithm != SentencepieceAlgorithm::kBpe) continue;
    parts.normalized_tokens.add(piece.text, {.id = id, .content = piece.text});
  }
  return {};
}

Result<std::unique_ptr<TokenModel>> make_bpe(const SentencepieceModel& model,
                                             const TokenizerParts& parts) {
  const size_t count = model.pieces.size();
  std::vector<float> scores(count);
  std::vector<bool> mergeable(count), reachable(count);
  for (size_t id = 0; id < count; ++id) {
    const Type type = model.pieces[id].type;
    scores[id] = model.pieces[id].score;
    mergeable[id] = type == Type::kNormal || type == Type::kUnused;
    reachable[id] = mergeable[id] || type == Type::kByte;
  }
  ASSIGN_OR_RETURN(const auto rules,
                   find_merges({parts.pieces, parts.ids, ranks_of_scores(scores), mergeable}));
  return std::unique_ptr<TokenModel>(std::make_unique<Bpe>(
      parts.pieces, reachable, rules,
      BpeOptions{.byte_fallback = model.byte_fallback, .fuse_unk = true, .unk = model.unk}));
}

std::unique_ptr<TokenModel> make_unigram(const SentencepieceModel& model) {
  std::vector<UnigramPiece> pieces;
  UnigramOptions options{.unk = model.unk};
  if (model.byte_fallback) options.byte_ids.resize(256);
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const auto& [text, score, type] = model.pieces[i];
    const auto id = static_cast<int32_t>(i);
    if (type == Type::kNormal || type == Type::kUserDefined) {
      pieces.push_back({text, id, score, type == Type::kUserDefined});
    } else if (type == Type::kByte && model.byte_fallback) {
      options.byte_ids[*byte_of_piece(text)] = id;
    }
  }
  return std::make_unique<Unigram>(pieces, std::move(options));
}

// The tokens of the files beside it, as transformers counts them: special tokens that the
// vocabulary lacks come behind it. Control pieces are looked for in text too.
Status add_configured_tokens(const SentencepieceModel& model, const TokenizerConfig& config,
                             TokenizerParts& parts) {
  std::vector<AddedToken> tokens = config.added;
  auto next = static_cast<int32_t>(parts.pieces.size());
  std::unordered_set<std::string_view> added;
  for (const AddedToken& token : config.added) {
    next = std::max(next, token.id + 1);
    added.insert(token.content);
  }
  for (const std::string& text : config.special) {
    if (is_glm(config) || added.contains(text)) continue;
    const int32_t known = parts.ids.find(text);
    tokens.push_back({.id = known >= 0 ? known : next++, .content = text, .special = true});
  }
  for (size_t id = 0; !is_glm(config) && id < model.pieces.size(); ++id) {
    if (!parts.special[id]) continue;
    tokens.push_back(
        {.id = static_cast<int32_t>(id), .content = parts.pieces[id], .special = true});
  }
  return add_tokens(tokens, parts.raw_tokens, parts);
}

Status add_glm_tokens(size_t first, const TokenizerConfig& config, TokenizerParts& parts) {
  std::vector<AddedToken> silent, roles;
  auto id = static_cast<int32_t>(first);
  for (const char* text : kGlmTokens)
    silent.push_back({.id = id++, .content = text, .special = true});
  for (const char* text : kGlmRoles)
    roles.push_back({.id = id++, .content = text, .special = true});
  TokenFinder unused;
  RETURN_IF_ERROR(add_tokens(silent, unused, parts));
  if (has_glm_roles(config)) RETURN_IF_ERROR(add_tokens(roles, parts.raw_tokens, parts));
  for (const char* text : kGlmPrefix) parts.prefix.push_back(parts.ids.find(text));
  return {};
}

void fill_ends(const SentencepieceModel& model, const TokenizerConfig& config,
               TokenizerParts& parts) {
  const auto control = [&](int64_t id) {
    const bool there = id >= 0 && id < static_cast<int64_t>(model.pieces.size()) &&
                       model.pieces[static_cast<size_t>(id)].type == Type::kControl;
    return there ? std::optional<int32_t>(static_cast<int32_t>(id)) : std::nullopt;
  };
  apply_tokenizer_config(config, parts);
  if (!parts.bos) parts.bos = control(model.bos);
  if (!parts.eos) parts.eos = control(model.eos);
  parts.prefix.clear();
  parts.suffix.clear();
  if (config.add_bos.value_or(!is_glm(config)) && parts.bos) parts.prefix.push_back(*parts.bos);
  if (config.add_eos.value_or(false) && parts.eos) parts.suffix.push_back(*parts.eos);
}

void fill_decoder(const SentencepieceModel& model, bool strips, TokenizerParts& parts) {
  for (size_t id = 0; id < parts.pieces.size(); ++id) {
    const bool is_own = id < model.pieces.size() && parts.pieces[id] == model.pieces[id].text;
    const bool is_byte = is_own && model.pieces[id].type == Type::kByte;
    parts.decoder.add(is_own ? piece_with_spaces(parts.pieces[id]) : parts.pieces[id],
                      is_byte ? byte_of_piece(parts.pieces[id]) : std::nullopt);
  }
  parts.decoder.max_stripped = strips ? 1 : 0;
}

}  // namespace

Result<TokenizerParts> read_sentencepiece(std::string_view file, const TokenizerConfig& config) {
  ASSIGN_OR_RETURN(SentencepieceModel model, parse_sentencepiece(file));
  // Before it was "legacy", which is what a configuration without the word means, transformers had
  // sentencepiece put a prefix before every piece of text between special tokens.
  const bool legacy = config.legacy.value_or(true);
  if (!legacy && !config.add_prefix_space.value_or(true)) model.normalizer.add_dummy_prefix = false;
  TokenizerParts parts;
  RETURN_IF_ERROR(fill_pieces(model, parts));
  if (model.algorithm == SentencepieceAlgorithm::kBpe) {
    ASSIGN_OR_RETURN(parts.model, make_bpe(model, parts));
  } else {
    parts.model = make_unigram(model);
  }
  const bool strips = model.normalizer.add_dummy_prefix && !model.normalizer.whitespace_as_suffix;
  ASSIGN_OR_RETURN(auto normalizer, make_sentencepiece_normalizer(std::move(model.normalizer),
                                                                  user_defined(model), legacy));
  parts.normalizer.add(std::move(normalizer));
  RETURN_IF_ERROR(add_configured_tokens(model, config, parts));
  fill_ends(model, config, parts);
  if (is_glm(config)) RETURN_IF_ERROR(add_glm_tokens(model.pieces.size(), config, parts));
  fill_decoder(model, strips, parts);
  return parts;
}

}  // namespace lmdeploy
