#include "text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/scratch_pool.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

struct Tokenizer::Impl {
  TokenizerParts parts;
  mutable ScratchPool<EncodeScratch> scratches;

  explicit Impl(TokenizerParts filled) : parts(std::move(filled)) {}

  void encode_text(std::string_view text, bool at_start, EncodeScratch& scratch,
                   std::vector<int32_t>& ids) const;
  void encode_normalized(std::string_view text, bool at_start, EncodeScratch& scratch,
                         std::vector<int32_t>& ids) const;
};

Status check_piece(std::string_view piece, int64_t id) {
  if (piece.size() <= kMaxPieceBytes) return {};
  return data_loss("the piece with id {}, '{}', has {} bytes; at most {} are accepted", id,
                   shown_piece(piece), piece.size(), kMaxPieceBytes);
}

Status check_added_bytes(size_t bytes) {
  if (bytes <= kMaxAddedBytes) return {};
  return data_loss("the added tokens have more than {} bytes in all; at most that many are accepted",
                   kMaxAddedBytes);
}

std::string shown_piece(std::string_view piece) {
  constexpr size_t kShownBytes = 60;
  if (piece.size() <= kShownBytes) return utf8_replace_invalid(piece);
  return utf8_replace_invalid(piece.substr(0, utf8_prefix(piece, kShownBytes))) + "...";
}

int64_t id_limit(size_t pieces) {
  return std::min(kMaxVocabulary, static_cast<int64_t>(2 * pieces) + (int64_t{1} << 16));
}

std::string piece_with_spaces(std::string_view piece) {
  constexpr std::string_view kMetaspace = "▁";
  std::string text;
  for (size_t at; (at = piece.find(kMetaspace)) != std::string_view::npos;) {
    text.append(piece.substr(0, at)).append(" ");
    piece.remove_prefix(at + kMetaspace.size());
  }
  return text.append(piece);
}

Status add_tokens(const std::vector<AddedToken>& tokens, TokenFinder& finder, TokenizerParts& parts) {
  const int64_t limit = id_limit(parts.pieces.size() + tokens.size());
  std::vector<bool> taken(parts.pieces.size());
  size_t bytes = 0;
  for (const AddedToken& token : tokens) {
    RETURN_IF_ERROR(check_piece(token.content, token.id));
    if (token.id < 0 || token.id >= limit) {
      return data_loss("the id of the added token '{}' is {}; expected 0 to {} for a vocabulary of this size",
                       shown_piece(token.content), token.id, limit - 1);
    }
    const auto index = static_cast<size_t>(token.id);
    if (index >= parts.pieces.size()) parts.pieces.resize(index + 1);
    if (index >= taken.size()) taken.resize(index + 1);
    if (token.content.empty() || taken[index]) continue;
    bytes += token.content.size();
    RETURN_IF_ERROR(check_added_bytes(bytes));
    taken[index] = true;
    parts.pieces[index] = token.content;
    parts.ids.insert(token.content, token.id);
    finder.add(token.content, token);
    parts.special.resize(parts.pieces.size());
    parts.special[index] = token.special;
  }
  parts.special.resize(parts.pieces.size());
  return {};
}

std::optional<uint8_t> byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : piece.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    const char letter = static_cast<char>(c | 0x20);
    if (!digit && (letter < 'a' || letter > 'f')) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit ? c - '0' : letter - 'a' + 10);
  }
  return static_cast<uint8_t>(value);
}

void collect_end_ids(TokenizerParts& parts) {
  if (parts.eos) parts.end_ids.push_back(*parts.eos);
  const auto special_id = [&](std::string_view name) {
    const int32_t id = parts.ids.find(name);
    return id >= 0 && parts.special[static_cast<size_t>(id)] ? id : -1;
  };
  const int32_t message_end = special_id("<|return|>") >= 0 ? special_id("<|end|>") : -1;
  for (const char* name : {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|return|>"}) {
    if (const int32_t id = special_id(name); id >= 0) parts.end_ids.push_back(id);
  }
  if (special_id("<|return|>") >= 0 && special_id("<|call|>") >= 0) {
    parts.end_ids.push_back(special_id("<|call|>"));
  }
  std::erase(parts.end_ids, message_end);
  std::ranges::sort(parts.end_ids);
  const auto repeated = std::ranges::unique(parts.end_ids);
  parts.end_ids.erase(repeated.begin(), repeated.end());
}

// Text between the added tokens found in the raw text.
void Tokenizer::Impl::encode_text(std::string_view text, bool at_start, EncodeScratch& scratch,
                                  std::vector<int32_t>& ids) const {
  std::string normalized;
  if (!parts.normalizer.empty()) {
    normalized = parts.normalizer.run(text, at_start);
    text = normalized;
  }
  if (parts.normalized_tokens.empty()) {
    encode_normalized(text, at_start, scratch, ids);
    return;
  }
  parts.normalized_tokens.split(text, [&](std::string_view piece, int32_t id) {
    if (id >= 0) {
      ids.push_back(id);
    } else {
      encode_normalized(piece, at_start && piece.data() == text.data(), scratch, ids);
    }
  });
}

void Tokenizer::Impl::encode_normalized(std::string_view text, bool at_start, EncodeScratch& scratch,
                                        std::vector<int32_t>& ids) const {
  if (text.empty()) return;
  parts.pre_tokenizer.run(text, at_start, [&](std::string_view word, bool) {
    parts.model->encode(word, scratch, ids);
  });
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<Tokenizer>> Tokenizer::from_file(const std::string& path) {
  ASSIGN_OR_RETURN(TokenizerParts parts, read_tokenizer_files(path));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::make_unique<Impl>(std::move(parts))));
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::from_gguf(GgufVocabulary vocabulary) {
  ASSIGN_OR_RETURN(TokenizerParts parts, read_gguf_vocabulary(std::move(vocabulary)));
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::make_unique<Impl>(std::move(parts))));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  const TokenizerParts& parts = impl_->parts;
  std::string valid;
  if (!utf8_valid(text)) {
    valid = utf8_replace_invalid(text);
    text = valid;
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  if (options.add_special_tokens) ids = parts.prefix;
  ScratchPool<EncodeScratch>::Lease scratch(impl_->scratches);
  parts.raw_tokens.split(text, [&](std::string_view piece, int32_t id) {
    if (id >= 0) {
      ids.push_back(id);
    } else {
      impl_->encode_text(piece, piece.data() == text.data(), *scratch, ids);
    }
  });
  if (options.add_special_tokens) ids.insert(ids.end(), parts.suffix.begin(), parts.suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, DecodeOptions options) const {
  DecodeState state = start_decoding(options.continues);
  for (const int32_t id : ids) {
    if (!options.skip_special_tokens || !is_special(id)) impl_->parts.decoder.push(id, state);
  }
  return impl_->parts.decoder.take_rest(state);
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(impl_->parts.pieces.size()); }

std::string_view Tokenizer::piece(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return impl_->parts.pieces[static_cast<size_t>(id)];
}

std::optional<int32_t> Tokenizer::id_of(std::string_view piece) const {
  const int32_t id = impl_->parts.ids.find(piece);
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && impl_->parts.special[static_cast<size_t>(id)];
}

std::optional<int32_t> Tokenizer::bos_id() const { return impl_->parts.bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return impl_->parts.eos; }
const std::vector<int32_t>& Tokenizer::end_ids() const { return impl_->parts.end_ids; }
const std::string& Tokenizer::chat_template() const { return impl_->parts.chat_template; }

IncrementalDetokenizer::IncrementalDetokenizer(const Tokenizer& tokenizer, DecodeOptions options)
    : tokenizer_(&tokenizer), options_(options), state_(start_decoding(options.continues)) {}

std::string IncrementalDetokenizer::push(int32_t id) {
  if (options_.skip_special_tokens && tokenizer_->is_special(id)) return {};
  const TokenDecoder& decoder = tokenizer_->impl_->parts.decoder;
  decoder.push(id, state_);
  return decoder.take_certain(state_);
}

std::string IncrementalDetokenizer::flush() {
  return tokenizer_->impl_->parts.decoder.take_rest(state_);
}

}  // namespace lmdeploy
