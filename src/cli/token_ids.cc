#include "cli/token_ids.h"

#include <charconv>

namespace lmdeploy::cli {

namespace {

class IdReader {
 public:
  explicit IdReader(std::string_view text) : text_(text), at_(text.data()) {}

  bool take(char c) {
    skip_spaces();
    if (at_ == end() || *at_ != c) return false;
    ++at_;
    return true;
  }
  bool take_id(int32_t& id) {
    skip_spaces();
    const auto [next, error] = std::from_chars(at_, end(), id);
    if (error != std::errc() || id < 0) return false;
    at_ = next;
    return true;
  }
  bool at_end() {
    skip_spaces();
    return at_ == end();
  }
  Status problem(const char* expected) const {
    return invalid_argument("--input-ids '{}' is no list of token ids: at byte {} expected {}",
                            text_.substr(0, 200), at_ - text_.data(), expected);
  }

 private:
  const char* end() const { return text_.data() + text_.size(); }
  void skip_spaces() {
    while (at_ != end() && *at_ == ' ') ++at_;
  }

  std::string_view text_;
  const char* at_;
};

}  // namespace

Result<std::vector<int32_t>> parse_token_ids(std::string_view text) {
  IdReader reader(text);
  if (reader.at_end()) return invalid_argument("--input-ids is empty; give token ids such as 1,15043");
  const bool brackets = reader.take('[');
  std::vector<int32_t> ids;
  do {
    int32_t id = 0;
    if (!reader.take_id(id)) return reader.problem("a token id from 0 to 2147483647");
    ids.push_back(id);
  } while (reader.take(','));
  if (brackets && !reader.take(']')) return reader.problem("',' or ']'");
  if (!reader.at_end()) return reader.problem(brackets ? "the end" : "',' or the end");
  return ids;
}

}  // namespace lmdeploy::cli
