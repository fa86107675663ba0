#include "cli/command_line.h"

#include <algorithm>

namespace lmdeploy::cli {

namespace {

using Words = std::vector<std::string>;

// The longest older spelling that `words` begins with, replaced.
Words replace_older(const Words& words, const CommandLineSpellings& spellings) {
  for (const auto& [older, newer] : spellings.older) {
    if (words.size() < older.size() || !std::equal(older.begin(), older.end(), words.begin())) {
      continue;
    }
    Words out = newer;
    out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(older.size()), words.end());
    return out;
  }
  return words;
}

bool is_option(const std::string& word) { return word.size() > 2 && word.starts_with("--"); }

std::string with_dashes(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

}  // namespace

Words normalize_command_line(const Words& given, const CommandLineSpellings& spellings) {
  const Words words = replace_older(given, spellings);
  Words out;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    if (!is_option(word)) {
      out.push_back(spellings.short_words.contains(word) ? "-" + word : word);
      continue;
    }
    const size_t name_end = std::min(word.find('='), word.size());
    const size_t dot = word.find('.');
    std::string name = with_dashes(word.substr(0, std::min(name_end, dot)));
    const bool next_is_value = name_end == word.size() && i + 1 < words.size();
    if (dot < name_end) {
      name += "=" + word.substr(dot + 1);
      if (next_is_value) name += "=" + words[++i];
    } else if (next_is_value && spellings.flags.contains(name) &&
               (words[i + 1] == "True" || words[i + 1] == "False")) {
      name += words[++i] == "True" ? "=true" : "=false";
    } else {
      name += word.substr(name_end);
    }
    out.push_back(std::move(name));
  }
  return out;
}

}  // namespace lmdeploy::cli
