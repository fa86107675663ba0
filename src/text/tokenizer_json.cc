// tokenizer.json -> TokenizerParts.
#include <algorithm>
#include <utility>

#include "base/json.h"
#include "text/bpe.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json_steps.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

namespace {

Status put_piece(TokenizerParts& parts, std::string_view piece, int64_t id, int64_t limit) {
  RETURN_IF_ERROR(check_piece(piece, id));
  if (id < 0 || id >= limit) {
    return data_loss("the id of piece '{}' is {}; expected 0 to {} for a vocabulary of this size", piece,
                     id, limit - 1);
  }
  const auto index = static_cast<size_t>(id);
  if (index >= parts.pieces.size()) parts.pieces.resize(index + 1);
  if (!parts.pieces[index].empty()) {
    return data_loss("the pieces '{}' and '{}' both have id {}", parts.pieces[index], piece, id);
  }
  parts.pieces[index] = piece;
  parts.ids.insert(piece, static_cast<int32_t>(id));
  return {};
}

Status read_vocabulary(const json::object& model, TokenizerParts& parts) {
  const json::value* vocabulary = find(model, "vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) {
    return data_loss("'model.vocab' is missing or not an object of piece: id");
  }
  const int64_t limit = id_limit(vocabulary->get_object().size());
  parts.pieces.reserve(std::min<size_t>(vocabulary->get_object().size(), kMaxVocabulary));
  for (const auto& [piece, id] : vocabulary->get_object()) {
    if (!id.is_int64()) {
      return data_loss("the id of piece '{}' is not an integer", shown_piece(piece));
    }
    RETURN_IF_ERROR(put_piece(parts, piece, id.get_int64(), limit));
  }
  return {};
}

// "left right", or ["left", "right"].
std::optional<std::pair<std::string_view, std::string_view>> merge_pair(const json::value& merge) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_string();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return std::nullopt;
    }
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  if (!merge.is_array() || merge.get_array().size() != 2) return std::nullopt;
  const auto& both = merge.get_array();
  if (!both[0].is_string() || !both[1].is_string()) return std::nullopt;
  return std::pair<std::string_view, std::string_view>(both[0].get_string(), both[1].get_string());
}

Result<std::vector<Bpe::Rule>> read_merges(const json::object& model, const PieceTable& ids) {
  const json::value* merges = find(model, "merges");
  if (merges == nullptr || !merges->is_array()) return data_loss("'model.merges' is missing or not a list");
  std::vector<Bpe::Rule> rules;
  rules.reserve(merges->get_array().size());
  std::string merged;
  for (const json::value& merge : merges->get_array()) {
    const auto rank = static_cast<uint32_t>(rules.size());
    const auto pair = merge_pair(merge);
    if (!pair) return data_loss("merge {} is not two pieces: {}", rank, to_json_text(merge).substr(0, 80));
    merged.assign(pair->first).append(pair->second);
    for (const std::string_view piece : {pair->first, pair->second, std::string_view(merged)}) {
      if (ids.find(piece) < 0) {
        return data_loss("merge {} needs the piece '{}', which is not in the vocabulary", rank,
                         shown_piece(piece));
      }
    }
    rules.push_back({ids.find(pair->first), ids.find(pair->second), {rank, ids.find(merged)}});
  }
  return rules;
}

Result<BpeOptions> read_bpe_options(const json::object& model, const PieceTable& ids) {
  BpeOptions options;
  for (const auto& [key, target] : {std::pair("byte_fallback", &options.byte_fallback),
                                    {"ignore_merges", &options.ignore_merges},
                                    {"fuse_unk", &options.fuse_unk}}) {
    ASSIGN_OR_RETURN(const auto value, get_bool(model, key));
    *target = value.value_or(false);
  }
  ASSIGN_OR_RETURN(const auto unk, get_string(model, "unk_token"));
  if (unk) {
    options.unk = ids.find(*unk);
    if (options.unk < 0) return data_loss("the unk_token '{}' is not in the vocabulary", *unk);
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    ASSIGN_OR_RETURN(const auto affix, get_string(model, key));
    if (affix && !affix->empty()) {
      return unsupported("the BPE model's {} is '{}'; this version knows none", key, *affix);
    }
  }
  ASSIGN_OR_RETURN(const auto dropout, get_double(model, "dropout"));
  if (dropout.value_or(0) != 0) return unsupported("the BPE model has a dropout of {}", *dropout);
  return options;
}

Status read_model(const json::object& file, bool byte_level, TokenizerParts& parts) {
  const json::value* section = find(file, "model");
  if (section == nullptr || !section->is_object()) return data_loss("'model' is missing or not an object");
  const json::object& model = section->get_object();
  ASSIGN_OR_RETURN(const auto type, get_string(model, "type"));
  if (type && *type != "BPE") {
    return unsupported("the tokenizer model is '{}'; this version reads BPE", *type);
  }
  RETURN_IF_ERROR(read_vocabulary(model, parts));
  ASSIGN_OR_RETURN(const auto rules, read_merges(model, parts.ids));
  ASSIGN_OR_RETURN(BpeOptions options, read_bpe_options(model, parts.ids));
  options.byte_level = byte_level;
  parts.model = std::make_unique<Bpe>(parts.pieces, std::vector<bool>(), rules, options);
  return {};
}

Status read_added_tokens(const json::object& file, TokenizerParts& parts) {
  const json::value* list = find(file, "added_tokens");
  std::vector<AddedToken> tokens;
  if (list != nullptr && !list->is_array()) return data_loss("'added_tokens' is not a list");
  if (list != nullptr) {
    const int64_t limit = id_limit(parts.pieces.size() + list->get_array().size());
    size_t bytes = 0;
    for (const json::value& value : list->get_array()) {
      ASSIGN_OR_RETURN(AddedToken token, read_added_token(value));
      if (token.content.empty()) continue;
      bytes += token.content.size();
      RETURN_IF_ERROR(check_added_bytes(bytes));
      // A token that the model knows keeps the model's id.
      if (const int32_t known = parts.ids.find(token.content); known >= 0) {
        token.id = known;
      } else {
        RETURN_IF_ERROR(put_piece(parts, token.content, token.id, limit));
      }
      tokens.push_back(std::move(token));
    }
  }
  parts.special.resize(parts.pieces.size());
  // Special ones first: the first of equal spellings wins.
  std::ranges::stable_partition(tokens, [](const AddedToken& token) { return token.special; });
  for (const AddedToken& token : tokens) {
    if (token.special) parts.special[static_cast<size_t>(token.id)] = true;
    if (token.normalized) {
      parts.normalized_tokens.add(parts.normalizer.run(token.content), token);
    } else {
      parts.raw_tokens.add(token.content, token);
    }
  }
  return {};
}

// "single" of a TemplateProcessing: special tokens around the text.
Status read_template(const json::object& step, TokenizerParts& parts) {
  const json::value* single = find(step, "single");
  const json::value* specials = find(step, "special_tokens");
  if (single == nullptr || !single->is_array()) {
    return data_loss("a TemplateProcessing has no list 'single'");
  }
  bool after_text = false;
  for (const json::value& item : single->get_array()) {
    ASSIGN_OR_RETURN(const json::object* object, step_object(item, "post_processor.single"));
    if (find(*object, "Sequence") != nullptr) {
      after_text = true;
      continue;
    }
    const json::value* token = find(*object, "SpecialToken");
    if (token == nullptr || !token->is_object()) {
      return data_loss("an entry of 'post_processor.single' is neither Sequence nor SpecialToken");
    }
    ASSIGN_OR_RETURN(const std::string name, required_string(token->get_object(), "id"));
    const json::value* entry =
        specials != nullptr && specials->is_object() ? find(specials->get_object(), name) : nullptr;
    const json::value* ids =
        entry != nullptr && entry->is_object() ? find(entry->get_object(), "ids") : nullptr;
    if (ids == nullptr || !ids->is_array()) {
      return data_loss("the post-processor's token '{}' has no ids in 'special_tokens'", name);
    }
    for (const json::value& id : ids->get_array()) {
      if (!id.is_int64() || id.get_int64() < 0 ||
          id.get_int64() >= static_cast<int64_t>(parts.pieces.size())) {
        return data_loss("the post-processor's token '{}' has an id outside the vocabulary", name);
      }
      (after_text ? parts.suffix : parts.prefix).push_back(static_cast<int32_t>(id.get_int64()));
    }
  }
  return {};
}

Status read_post_processor(const json::value* section, TokenizerParts& parts) {
  if (section == nullptr) return {};
  ASSIGN_OR_RETURN(const json::object* step, step_object(*section, "post_processor"));
  ASSIGN_OR_RETURN(const std::string type, required_string(*step, "type"));
  if (type == "ByteLevel") return {};  // moves offsets only
  if (type == "TemplateProcessing") return read_template(*step, parts);
  if (type != "Sequence") return unsupported("the post-processor '{}' is not in this version", type);
  const json::value* members = find(*step, "processors");
  if (members == nullptr || !members->is_array()) {
    return data_loss("a Sequence in 'post_processor' has no list 'processors'");
  }
  for (const json::value& member : members->get_array()) {
    RETURN_IF_ERROR(read_post_processor(&member, parts));
  }
  return {};
}

Status read_tokenizer(const json::value& value, TokenizerParts& parts) {
  if (!value.is_object()) return data_loss("expected a JSON object");
  const json::object& file = value.get_object();
  bool byte_level = false;
  RETURN_IF_ERROR(read_normalizer(find(file, "normalizer"), parts));
  RETURN_IF_ERROR(read_pre_tokenizer(find(file, "pre_tokenizer"), parts, byte_level));
  RETURN_IF_ERROR(read_model(file, byte_level, parts));
  RETURN_IF_ERROR(read_added_tokens(file, parts));
  RETURN_IF_ERROR(read_post_processor(find(file, "post_processor"), parts));
  return read_decoder(find(file, "decoder"), parts);
}

}  // namespace

Result<TokenizerParts> read_tokenizer_json(const std::string& file) {
  ASSIGN_OR_RETURN(const json::value value, read_json_file(file, kTokenizerFileLimits));
  TokenizerParts parts;
  if (Status status = read_tokenizer(value, parts); !status.ok()) {
    return Status(status.code(), file + ": " + status.message());
  }
  return parts;
}

}  // namespace lmdeploy
