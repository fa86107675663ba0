#include "text/sentencepiece_model.h"

#include <fmt/format.h>

#include <bitset>
#include <cmath>

#include "base/utf8.h"
#include "text/piece_table.h"
#include "text/protobuf_reader.h"
#include "text/tokenizer_parts.h"

namespace lmdeploy {

namespace {

// Field numbers of sentencepiece_model.proto.
enum ModelField : uint32_t { kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3 };
enum PieceField : uint32_t { kPiece = 1, kScore = 2, kType = 3 };
enum TrainerField : uint32_t {
  kModelType = 3,
  kWhitespaceSuffix = 24,
  kByteFallback = 35,
  kBosId = 41,
  kEosId = 42
};
enum NormalizerField : uint32_t {
  kCharsmap = 2,
  kDummyPrefix = 3,
  kExtraWhitespaces = 4,
  kEscapeWhitespaces = 5
};

Status broken(std::string_view part) {
  return data_loss("its {} is no protocol-buffers message: it is no sentencepiece file, or damaged",
                   part);
}

// An int32, which the wire format extends to 64 bits.
int64_t signed_of(const ProtobufReader& field) { return static_cast<int64_t>(field.integer()); }

Result<Sentencepiece> read_piece(std::string_view message, size_t id) {
  Sentencepiece piece;
  ProtobufReader reader(message);
  while (reader.next()) {
    if (reader.field() == kPiece) piece.text = reader.bytes();
    if (reader.field() == kScore) piece.score = reader.real();
    if (reader.field() != kType) continue;
    if (reader.integer() < 1 || reader.integer() > 6)
      return data_loss("piece {} has type {}", id, reader.integer());
    piece.type = static_cast<SentencepieceType>(reader.integer());
  }
  if (!reader.ok()) return broken(fmt::format("piece {}", id));
  RETURN_IF_ERROR(check_piece(piece.text, static_cast<int64_t>(id)));
  if (piece.text.empty() || !utf8_valid(piece.text))
    return data_loss("piece {} is empty or no UTF-8", id);
  if (!std::isfinite(piece.score)) return data_loss("the score of piece {} is not a number", id);
  return piece;
}

Status read_trainer(std::string_view message, SentencepieceModel& model) {
  ProtobufReader reader(message);
  uint64_t algorithm = 1;
  while (reader.next()) {
    switch (reader.field()) {
      case kModelType: algorithm = reader.integer(); break;
      case kByteFallback: model.byte_fallback = reader.integer() != 0; break;
      case kWhitespaceSuffix: model.normalizer.whitespace_as_suffix = reader.integer() != 0; break;
      case kBosId: model.bos = signed_of(reader); break;
      case kEosId: model.eos = signed_of(reader); break;
      default: break;
    }
  }
  if (!reader.ok()) return broken("trainer_spec");
  if (algorithm != 1 && algorithm != 2) {
    return unsupported("its model_type is {}; this version reads UNIGRAM (1) and BPE (2)",
                       algorithm);
  }
  model.algorithm = static_cast<SentencepieceAlgorithm>(algorithm);
  return {};
}

Status read_normalizer_spec(std::string_view message, SentencepieceNormalizerSpec& spec) {
  ProtobufReader reader(message);
  while (reader.next()) {
    switch (reader.field()) {
      case kCharsmap: spec.charsmap = reader.bytes(); break;
      case kDummyPrefix: spec.add_dummy_prefix = reader.integer() != 0; break;
      case kExtraWhitespaces: spec.remove_extra_whitespaces = reader.integer() != 0; break;
      case kEscapeWhitespaces: spec.escape_whitespaces = reader.integer() != 0; break;
      default: break;
    }
  }
  return reader.ok() ? Status() : broken("normalizer_spec");
}

Status check_pieces(SentencepieceModel& model) {
  PieceTable reserved, usual;  // sentencepiece keeps two tables, and a piece may be in both
  std::bitset<256> bytes;
  for (size_t i = 0; i < model.pieces.size(); ++i) {
    const auto& [text, score, type] = model.pieces[i];
    const auto id = static_cast<int32_t>(i);
    const bool is_reserved = type == SentencepieceType::kUnknown ||
                             type == SentencepieceType::kControl ||
                             type == SentencepieceType::kByte;
    if (!(is_reserved ? reserved : usual).insert(text, id))
      return data_loss("the piece '{}' is there twice", text);
    if (type == SentencepieceType::kUnknown) {
      if (model.unk >= 0)
        return data_loss("the pieces {} and {} are both of type UNKNOWN", model.unk, id);
      model.unk = id;
    }
    if (type != SentencepieceType::kByte) continue;
    const auto byte = byte_of_piece(text);
    if (!byte || text != fmt::format("<0x{:02X}>", *byte))
      return data_loss("the piece '{}' is of type BYTE; expected <0x00> to <0xFF>", text);
    bytes.set(*byte);
  }
  if (model.unk < 0) return data_loss("no piece is of type UNKNOWN");
  if (model.byte_fallback && !bytes.all()) {
    return data_loss("it has byte_fallback and {} of 256 byte pieces", bytes.count());
  }
  return {};
}

}  // namespace

Result<SentencepieceModel> parse_sentencepiece(std::string_view file) {
  SentencepieceModel model;
  ProtobufReader reader(file);
  while (reader.next()) {
    if (reader.field() == kPieces) {
      if (static_cast<int64_t>(model.pieces.size()) == kMaxVocabulary) {
        return data_loss("it has more than {} pieces", kMaxVocabulary);
      }
      ASSIGN_OR_RETURN(Sentencepiece piece, read_piece(reader.bytes(), model.pieces.size()));
      model.pieces.push_back(std::move(piece));
    } else if (reader.field() == kTrainerSpec) {
      RETURN_IF_ERROR(read_trainer(reader.bytes(), model));
    } else if (reader.field() == kNormalizerSpec) {
      RETURN_IF_ERROR(read_normalizer_spec(reader.bytes(), model.normalizer));
    }
  }
  if (!reader.ok()) return broken("whole");
  if (model.pieces.empty()) return data_loss("it has no pieces: it is no sentencepiece file");
  RETURN_IF_ERROR(check_pieces(model));
  return model;
}

}  // namespace lmdeploy
