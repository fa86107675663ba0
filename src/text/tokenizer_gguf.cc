// GGUF vocabularies: models "gpt2" (byte-level BPE) and "llama" (sentencepiece BPE by score).
#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/bpe.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/scored_merges.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

namespace {

constexpr int32_t kTypeNormal = 1;
constexpr int32_t kTypeUnknown = 2;
constexpr int32_t kTypeControl = 3;
constexpr int32_t kTypeUserDefined = 4;
constexpr int32_t kTypeByte = 6;
constexpr char kMetaspace[] = "▁";

Status check_vocabulary(const GgufVocabulary& vocabulary) {
  const size_t count = vocabulary.tokens.size();
  if (count == 0) return data_loss("the GGUF vocabulary (tokenizer.ggml.tokens) is empty");
  if (static_cast<int64_t>(count) > kMaxVocabulary) {
    return data_loss("the GGUF vocabulary has {} tokens; at most {} are accepted", count, kMaxVocabulary);
  }
  if (!vocabulary.token_types.empty() && vocabulary.token_types.size() != count) {
    return data_loss("tokenizer.ggml.token_type has {} entries for {} tokens",
                     vocabulary.token_types.size(), count);
  }
  for (const auto& [name, id] : {std::pair("bos", vocabulary.bos), {"eos", vocabulary.eos},
                                 {"eot", vocabulary.eot}, {"unknown", vocabulary.unknown}}) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= count)) {
      return data_loss("tokenizer.ggml.{}_token_id is {}; the vocabulary has {} tokens", name, *id, count);
    }
  }
  for (size_t id = 0; id < count; ++id) {
    RETURN_IF_ERROR(check_piece(vocabulary.tokens[id], static_cast<int64_t>(id)));
    if (!utf8_valid(vocabulary.tokens[id])) {
      return data_loss("token {} of the GGUF vocabulary is not valid UTF-8", id);
    }
  }
  return {};
}

int32_t type_of(const GgufVocabulary& vocabulary, size_t id) {
  return vocabulary.token_types.empty() ? kTypeNormal : vocabulary.token_types[id];
}

// Fills pieces, special, ids and the tokens to be found in text. True in `reachable` where words
// may become the id.
Result<std::vector<bool>> fill_pieces(GgufVocabulary& vocabulary, TokenizerParts& parts) {
  const size_t count = vocabulary.tokens.size();
  std::vector<bool> reachable(count);
  size_t added_bytes = 0;
  parts.special.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const int32_t type = type_of(vocabulary, i);
    const auto id = static_cast<int32_t>(i);
    parts.ids.insert(vocabulary.tokens[i], id);
    parts.special[i] = type == kTypeControl || type == kTypeUnknown;
    reachable[i] = !parts.special[i] && type != kTypeUserDefined;
    if (parts.special[i] || type == kTypeUserDefined) {
      added_bytes += vocabulary.tokens[i].size();
      RETURN_IF_ERROR(check_added_bytes(added_bytes));
      parts.raw_tokens.add(vocabulary.tokens[i],
                           {.id = id, .content = vocabulary.tokens[i], .special = parts.special[i]});
    }
  }
  parts.pieces = std::move(vocabulary.tokens);
  return reachable;
}

void fill_ends(const GgufVocabulary& vocabulary, bool add_bos, TokenizerParts& parts) {
  parts.bos = vocabulary.bos;
  parts.eos = vocabulary.eos;
  if (vocabulary.eot) parts.end_ids.push_back(*vocabulary.eot);
  collect_end_ids(parts);
  if (vocabulary.add_bos.value_or(add_bos) && parts.bos) parts.prefix.push_back(*parts.bos);
  if (vocabulary.add_eos.value_or(false) && parts.eos) parts.suffix.push_back(*parts.eos);
}

Result<std::vector<Bpe::Rule>> read_merges(const std::vector<std::string>& merges,
                                           const PieceTable& ids) {
  std::vector<Bpe::Rule> rules;
  rules.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || !utf8_valid(merge)) {
      return data_loss("merge {} of the GGUF vocabulary is '{}'; expected two pieces and a space "
                       "between them", rank, shown_piece(merge));
    }
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    const int32_t merged = ids.find(std::string(left).append(right));
    const int32_t left_id = ids.find(left), right_id = ids.find(right);
    if (left_id < 0 || right_id < 0 || merged < 0) {
      return data_loss("merge {} of the GGUF vocabulary is '{}', whose pieces are not all in the "
                       "vocabulary", rank, shown_piece(merge));
    }
    rules.push_back({left_id, right_id, {static_cast<uint32_t>(rank), merged}});
  }
  return rules;
}

void fill_byte_level_decoder(TokenizerParts& parts) {
  parts.decoder.mode = TokenDecoder::Mode::kBytes;
  for (const std::string& piece : parts.pieces) {
    parts.decoder.add(byte_level_bytes(piece).value_or(piece));
  }
}

Result<TokenizerParts> read_gpt2(GgufVocabulary vocabulary) {
  ASSIGN_OR_RETURN(const GgufPreTokenizer* kind, find_gguf_pre_tokenizer(vocabulary.pre));
  TokenizerParts parts;
  ASSIGN_OR_RETURN(const std::vector<bool> reachable, fill_pieces(vocabulary, parts));
  ASSIGN_OR_RETURN(const auto rules, read_merges(vocabulary.merges, parts.ids));
  parts.model = std::make_unique<Bpe>(
      parts.pieces, reachable, rules,
      BpeOptions{.byte_level = true, .ignore_merges = kind->ignore_merges});
  if (kind->nfc) parts.normalizer.add(make_normal_form(NormalForm::kNfc));
  using Digits = GgufPreTokenizer::Digits;
  if (kind->digits == Digits::kFirst) parts.pre_tokenizer.add(make_digits(true));
  if (vocabulary.add_space_prefix.value_or(false)) parts.pre_tokenizer.add(make_prefix_space());
  for (const char* pattern : kind->patterns) {
    ASSIGN_OR_RETURN(auto matcher, make_matcher(pattern));
    parts.pre_tokenizer.add(make_split(std::move(matcher), SplitBehavior::kIsolated, false));
  }
  if (kind->digits == Digits::kLast) parts.pre_tokenizer.add(make_digits(true));
  fill_byte_level_decoder(parts);
  fill_ends(vocabulary, kind->add_bos, parts);
  return parts;
}

Result<TokenizerParts> read_llama(GgufVocabulary vocabulary) {
  if (vocabulary.scores.size() != vocabulary.tokens.size()) {
    return data_loss("tokenizer.ggml.scores has {} entries for {} tokens", vocabulary.scores.size(),
                     vocabulary.tokens.size());
  }
  for (size_t id = 0; id < vocabulary.scores.size(); ++id) {
    if (!(vocabulary.scores[id] == vocabulary.scores[id])) {
      return data_loss("the score of token {} is not a number", id);
    }
  }
  TokenizerParts parts;
  ASSIGN_OR_RETURN(const std::vector<bool> reachable, fill_pieces(vocabulary, parts));
  std::vector<bool> mergeable = reachable;
  for (size_t id = 0; id < parts.pieces.size(); ++id) {
    const bool is_byte = type_of(vocabulary, id) == kTypeByte;
    if (is_byte) mergeable[id] = false;
    parts.decoder.add(piece_with_spaces(parts.pieces[id]),
                      is_byte ? byte_of_piece(parts.pieces[id]) : std::nullopt);
  }
  ASSIGN_OR_RETURN(const auto rules,
                   find_merges({parts.pieces, parts.ids, ranks_of_scores(vocabulary.scores), mergeable}));
  parts.model = std::make_unique<Bpe>(
      parts.pieces, reachable, rules,
      BpeOptions{.byte_fallback = true, .fuse_unk = true, .unk = vocabulary.unknown.value_or(-1)});
  const bool space_prefix = vocabulary.add_space_prefix.value_or(true);
  if (space_prefix) parts.normalizer.add(make_prepend(kMetaspace));
  parts.normalizer.add(make_replace(make_literal_matcher(" "), kMetaspace));
  parts.decoder.max_stripped = space_prefix ? 1 : 0;
  fill_ends(vocabulary, true, parts);
  return parts;
}

}  // namespace

Result<TokenizerParts> read_gguf_vocabulary(GgufVocabulary vocabulary) {
  RETURN_IF_ERROR(check_vocabulary(vocabulary));
  if (vocabulary.model == "gpt2") return read_gpt2(std::move(vocabulary));
  if (vocabulary.model == "llama") return read_llama(std::move(vocabulary));
  return unsupported("tokenizer.ggml.model is '{}'; this version reads 'gpt2' (byte-level BPE) and "
                     "'llama' (sentencepiece BPE)", vocabulary.model);
}

}  // namespace lmdeploy
