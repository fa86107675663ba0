// ApiKeys: bearer tokens that open a server; random tokens.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lmdeploy {

// Immutable, thread-safe. Keeps SHA-256 digests, not the keys; the time of a check depends neither
// on where a wrong key differs nor on which key matches.
class ApiKeys {
 public:
  ApiKeys() = default;
  // Each item may hold several keys with commas between; blanks around a key are dropped.
  explicit ApiKeys(const std::vector<std::string>& keys);

  // Without keys everything is open.
  bool empty() const { return digests_.empty(); }
  bool allows_key(std::string_view key) const;
  // A number that is the same for the same key and says nothing of it; 0 without keys.
  uint64_t tenant(const std::string* header) const;
  // `header`: value of Authorization ("Bearer KEY"), nullptr when there is none.
  bool allows(const std::string* header) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest digest(std::string_view key);
  static std::optional<std::string_view> bearer(const std::string* header);
  std::vector<Digest> digests_;
};

// Unguessable letters and digits.
std::string random_token(size_t characters);

}  // namespace lmdeploy
