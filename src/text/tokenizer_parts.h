// TokenizerParts: everything a Tokenizer is made of; the readers of tokenizer.json and GGUF
// vocabularies fill it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/piece_table.h"
#include "text/pre_tokenizer.h"
#include "text/token_decoder.h"
#include "text/token_model.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

namespace lmdeploy {

struct TokenizerParts {
  std::vector<std::string> pieces;  // by id, added tokens included; empty: no such id
  std::vector<bool> special;        // by id
  PieceTable ids;                   // by piece

  TokenFinder raw_tokens;         // looked for in the text as it is
  TokenFinder normalized_tokens;  // and after normalization
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<TokenModel> model;
  std::vector<int32_t> prefix, suffix;  // ids that add_special_tokens puts around a text
  TokenDecoder decoder;

  std::optional<int32_t> bos, eos;
  std::vector<int32_t> end_ids;
  std::string chat_template;
};

// Largest id + 1 that a vocabulary may have.
inline constexpr int64_t kMaxVocabulary = int64_t{1} << 24;

// The same for a file of so many pieces: ids may leave gaps, but a table with an entry for each must stay
// in proportion to the file.
int64_t id_limit(size_t pieces);

// Bytes of one piece. The longest of published vocabularies have some hundred.
inline constexpr size_t kMaxPieceBytes = 1024;
// Bytes of all the tokens that are looked for in the text.
inline constexpr size_t kMaxAddedBytes = size_t{2} << 20;

// kDataLoss, by its beginning, for a piece longer than kMaxPieceBytes.
Status check_piece(std::string_view piece, int64_t id);
// kDataLoss when the tokens so far are longer than kMaxAddedBytes.
Status check_added_bytes(size_t bytes);
// A piece of unknown length as an error shows it.
std::string shown_piece(std::string_view piece);
// The byte that a piece "<0x0A>" stands for.
std::optional<uint8_t> byte_of_piece(std::string_view piece);

// A piece of sentencepiece as text: ▁ stands for a space.
std::string piece_with_spaces(std::string_view piece);

// See Tokenizer::from_file and from_gguf.
Result<TokenizerParts> read_tokenizer_files(const std::string& path);
Result<TokenizerParts> read_gguf_vocabulary(GgufVocabulary vocabulary);
Result<TokenizerParts> read_tokenizer_json(const std::string& path);
// The content of a sentencepiece file or of a tiktoken file; `config` is of the files beside it. The
// latter takes "qwen.tiktoken" for Qwen's by its name.
Result<TokenizerParts> read_sentencepiece(std::string_view file, const TokenizerConfig& config);
Result<TokenizerParts> read_tiktoken(std::string_view file, std::string_view name,
                                     const TokenizerConfig& config);
// Looks at the beginning: a line of base64, a space and a number.
bool is_tiktoken(std::string_view file);

// Tokens that a vocabulary gets from the files beside it: each becomes the piece of its id, is looked
// for by `finder`, and is special if it says so. The first of one id or one spelling wins.
Status add_tokens(const std::vector<AddedToken>& tokens, TokenFinder& finder, TokenizerParts& parts);

// Adds eos and the end-of-turn tokens that published chat models call by these names. Where a
// vocabulary has "<|return|>" (gpt-oss), "<|end|>" ends a message and not the turn.
void collect_end_ids(TokenizerParts& parts);

}  // namespace lmdeploy
