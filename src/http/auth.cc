#include "http/auth.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <cstring>

#include "base/check.h"
#include "http/request.h"

namespace lmdeploy {

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (std::string_view item : keys) {
    while (!item.empty()) {
      const size_t comma = item.find(',');
      std::string_view key = item.substr(0, comma);
      while (key.starts_with(' ')) key.remove_prefix(1);
      while (key.ends_with(' ')) key.remove_suffix(1);
      if (!key.empty()) digests_.push_back(digest(key));
      item.remove_prefix(comma == std::string_view::npos ? item.size() : comma + 1);
    }
  }
}

ApiKeys::Digest ApiKeys::digest(std::string_view key) {
  Digest out;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), out.data());
  return out;
}

bool ApiKeys::allows_key(std::string_view key) const {
  const Digest given = digest(key);
  int matches = 0;
  for (const Digest& known : digests_) {
    matches += CRYPTO_memcmp(known.data(), given.data(), given.size()) == 0 ? 1 : 0;
  }
  return digests_.empty() || matches > 0;
}

std::optional<std::string_view> ApiKeys::bearer(const std::string* header) {
  constexpr std::string_view kScheme = "Bearer ";
  if (header == nullptr) return std::nullopt;
  std::string_view value = *header;
  if (value.size() < kScheme.size() ||
      !equal_ignoring_case(value.substr(0, kScheme.size()), kScheme)) {
    return std::nullopt;
  }
  value.remove_prefix(kScheme.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

bool ApiKeys::allows(const std::string* header) const {
  if (digests_.empty()) return true;
  const auto key = bearer(header);
  return key && allows_key(*key);
}

uint64_t ApiKeys::tenant(const std::string* header) const {
  const auto key = bearer(header);
  if (digests_.empty() || !key) return 0;
  uint64_t out;
  std::memcpy(&out, digest(*key).data(), sizeof out);
  return out;
}

std::string random_token(size_t characters) {
  static constexpr char kAlphabet[] =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string out;
  while (out.size() < characters) {
    unsigned char bytes[32];
    CHECK(RAND_bytes(bytes, sizeof bytes) == 1, "the system gives no random bytes");
    for (const unsigned char byte : bytes) {
      // 248 is the largest multiple of 62 below 256: every letter is equally likely.
      if (byte < 248 && out.size() < characters) out += kAlphabet[byte % 62];
    }
  }
  return out;
}

}  // namespace lmdeploy
