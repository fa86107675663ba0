#include "text/bpe.h"

#include "text/byte_level.h"
#include "text/unicode_class.h"

namespace lmdeploy {

namespace {

constexpr char32_t kCharTable = 0x10000;
constexpr unsigned kJoinBits = 22;

uint32_t join_hash(char32_t left, char32_t right) {
  const uint64_t key = uint64_t{left} << 21 | right;
  return static_cast<uint32_t>(key * 0x9E3779B97F4A7C15ull >> (64 - kJoinBits));
}

// Tells characters outside the vocabulary as `tokenizers` does: the id of a run (fused) or of each
// is written when the next known character or the end comes.
class UnknownRun {
 public:
  UnknownRun(const BpeOptions& options, std::vector<int32_t>& ids) : options_(options), ids_(ids) {}

  void add() {
    if (options_.unk < 0) return;
    if (pending_ && !options_.fuse_unk) ids_.push_back(options_.unk);
    pending_ = true;
  }
  void end() {
    if (pending_) ids_.push_back(options_.unk);
    pending_ = false;
  }

 private:
  const BpeOptions& options_;
  std::vector<int32_t>& ids_;
  bool pending_ = false;
};

}  // namespace

Bpe::Bpe(const std::vector<std::string>& pieces, const std::vector<bool>& reachable,
         const std::vector<Rule>& rules, BpeOptions options)
    : options_(options), merges_(rules.size()) {
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].empty() || (!reachable.empty() && !reachable[id])) continue;
    if (!options_.byte_level) {
      pieces_.insert(pieces[id], static_cast<int32_t>(id));
    } else if (const auto bytes = byte_level_bytes(pieces[id])) {
      pieces_.insert(*bytes, static_cast<int32_t>(id));
    }
  }
  for (const Rule& rule : rules) merges_.insert(rule.left, rule.right, rule.merge);
  for (unsigned byte = 0; byte < byte_ids_.size(); ++byte) {
    const std::string raw(1, static_cast<char>(byte));
    byte_ids_[byte] = pieces_.find(options_.byte_level ? raw : fmt::format("<0x{:02X}>", byte));
  }
  if (!options_.byte_level) find_cuts(pieces, rules);
}

// Fills char_ids_ and joins_: no merge spans two characters that never meet inside a merged piece,
// so a text may be cut between them without changing its ids. That keeps words short (and in the
// cache) for vocabularies whose pre-tokenizer does not split at all.
void Bpe::find_cuts(const std::vector<std::string>& pieces, const std::vector<Rule>& rules) {
  char_ids_.assign(kCharTable, -1);
  joins_.assign((size_t{1} << kJoinBits) / 64, 0);
  for (const std::string& piece : pieces) {
    if (piece.empty()) continue;
    const DecodedChar first = decode_valid_utf8(piece.data());
    if (first.length == piece.size() && first.code < kCharTable) {
      char_ids_[first.code] = pieces_.find(piece);
    }
  }
  for (const Rule& rule : rules) {
    const std::string& piece = pieces[static_cast<size_t>(rule.merge.id)];
    char32_t left = 0;
    for (size_t pos = 0; pos < piece.size();) {
      const DecodedChar c = decode_valid_utf8(piece.data() + pos);
      if (pos > 0) {
        const uint32_t bit = join_hash(left, c.code);
        joins_[bit / 64] |= uint64_t{1} << bit % 64;
      }
      left = c.code;
      pos += c.length;
    }
  }
}

bool Bpe::may_join(char32_t left, char32_t right) const {
  const uint32_t bit = join_hash(left, right);
  return (joins_[bit / 64] >> bit % 64 & 1) != 0;
}

void Bpe::encode(std::string_view word, EncodeScratch& scratch, std::vector<int32_t>& out) const {
  if (options_.byte_level || options_.ignore_merges) {
    encode_part(word, scratch, out);
    return;
  }
  // The characters around a cut have to be known: a run of unknown ones is fused.
  size_t start = 0, pos = 0;
  char32_t left = 0;
  bool left_known = false;
  while (pos < word.size()) {
    const DecodedChar c = decode_valid_utf8(word.data() + pos);
    const bool known = char_id(c.code, word.substr(pos, c.length)) >= 0;
    if (pos > start && known && left_known && !may_join(left, c.code)) {
      encode_part(word.substr(start, pos - start), scratch, out);
      start = pos;
    }
    left = c.code;
    left_known = known;
    pos += c.length;
  }
  encode_part(word.substr(start), scratch, out);
}

void Bpe::encode_part(std::string_view word, EncodeScratch& scratch, std::vector<int32_t>& out) const {
  if (word.empty()) return;
  if (word.size() > WordCache::kMaxBytes) {
    encode_uncached(word, scratch, out);
    return;
  }
  WordCache::Slot& slot = scratch.cache.slot_of(word);
  if (!slot.holds(word)) {
    const size_t before = out.size();
    encode_uncached(word, scratch, out);
    const std::span<const int32_t> ids(out.data() + before, out.size() - before);
    if (ids.size() <= WordCache::kMaxIds) slot.set(word, ids);
    return;
  }
  out.insert(out.end(), slot.ids, slot.ids + slot.count);
}

void Bpe::encode_uncached(std::string_view word, EncodeScratch& scratch,
                          std::vector<int32_t>& out) const {
  if (options_.ignore_merges) {
    if (const int32_t id = pieces_.find(word); id >= 0) {
      out.push_back(id);
      return;
    }
  }
  scratch.ids.clear();
  scratch.ids.reserve(word.size());
  if (options_.byte_level) {
    first_bytes(word, scratch.ids);
  } else {
    first_chars(word, scratch.ids);
  }
  merge_symbols(merges_, scratch.ids, scratch.merge);
  out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
  if (scratch.ids.capacity() > kBucketSymbols) scratch.ids = {};
}

void Bpe::first_bytes(std::string_view word, std::vector<int32_t>& ids) const {
  UnknownRun unknown(options_, ids);
  for (const char c : word) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0) {
      unknown.add();
      continue;
    }
    unknown.end();
    ids.push_back(id);
  }
  unknown.end();
}

void Bpe::first_chars(std::string_view word, std::vector<int32_t>& ids) const {
  UnknownRun unknown(options_, ids);
  for (size_t pos = 0; pos < word.size();) {
    const DecodedChar c = decode_valid_utf8(word.data() + pos);
    const std::string_view bytes = word.substr(pos, c.length);
    pos += c.length;
    if (const int32_t id = char_id(c.code, bytes); id >= 0) {
      unknown.end();
      ids.push_back(id);
    } else if (!options_.byte_fallback || !add_byte_pieces(bytes, ids)) {
      unknown.add();
    }
  }
  unknown.end();
}

int32_t Bpe::char_id(char32_t c, std::string_view bytes) const {
  return c < kCharTable ? char_ids_[c] : pieces_.find(bytes);
}

bool Bpe::add_byte_pieces(std::string_view bytes, std::vector<int32_t>& ids) const {
  for (const char c : bytes) {
    if (byte_ids_[static_cast<unsigned char>(c)] < 0) return false;
  }
  for (const char c : bytes) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  return true;
}

}  // namespace lmdeploy
