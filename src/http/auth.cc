#include "http/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

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

bool ApiKeys::allows(const std::string* header) const {
  if (digests_.empty()) return true;
  if (header == nullptr) return false;
  constexpr std::string_view kScheme = "Bearer ";
  std::string_view value = *header;
  if (value.size() < kScheme.size() || !equal_ignoring_case(value.substr(0, kScheme.size()), kScheme)) {
    return false;
  }
  value.remove_prefix(kScheme.size());
  while (value.starts_with(' ')) value.remove_prefix(1);
  return allows_key(value);
}

}  // namespace lmdeploy
