// Whether this is a build with a sanitizer, where a step takes some ten times as long.
#pragma once

namespace lmdeploy::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace lmdeploy::test
