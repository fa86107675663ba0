// SentencepieceModel: what a sentencepiece file (tokenizer.model) says of its pieces, its model and
// its normalizer (docs/formats/tokenizers.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace lmdeploy {

enum class SentencepieceType { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
enum class SentencepieceAlgorithm { kUnigram = 1, kBpe, kWord, kChar };

struct Sentencepiece {
  std::string text;  // valid UTF-8, not empty
  float score = 0;   // finite
  SentencepieceType type = SentencepieceType::kNormal;
};

struct SentencepieceNormalizerSpec {
  std::string charsmap;  // compiled normalization rules; empty: none
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool whitespace_as_suffix = false;  // of the trainer's spec: the dummy prefix goes behind
};

struct SentencepieceModel {
  std::vector<Sentencepiece> pieces;  // by id
  SentencepieceAlgorithm algorithm = SentencepieceAlgorithm::kUnigram;
  bool byte_fallback = false;
  int32_t unk = -1;          // the piece of that type
  int64_t bos = 1, eos = 2;  // as the trainer's spec says; may name no piece
  SentencepieceNormalizerSpec normalizer;
};

// kDataLoss for bytes that are no such file, for what sentencepiece itself refuses (an empty piece,
// one that is there twice, no unknown piece, byte pieces that are not the 256) and for what is out
// of proportion; kUnsupported for the algorithms WORD and CHAR.
Result<SentencepieceModel> parse_sentencepiece(std::string_view file);

}  // namespace lmdeploy
