// "Did you mean": the nearest of some names.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace lmdeploy {

// Levenshtein distance.
size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the least distance to `name`, if that is at most a third of its length (and at
// least 2); empty otherwise.
std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

}  // namespace lmdeploy
