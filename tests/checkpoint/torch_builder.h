// Tiny ZIP archives and pickles, made in memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lmdeploy {

template <class T>
std::string little_endian(T number) {
  return {reinterpret_cast<const char*>(&number), sizeof(number)};
}

struct ZipOptions {
  bool zip64 = false;   // every size and offset, and the directory's place, in ZIP64 fields
  uint16_t method = 0;  // what the entries say of their compression
  uint16_t flags = 0;
  std::string comment;
};

// An archive of stored entries (name, data), as torch.save writes it.
inline std::string zip_file(const std::vector<std::pair<std::string, std::string>>& entries,
                            const ZipOptions& options = {}) {
  std::string out, directory;
  for (const auto& [name, data] : entries) {
    const auto size = static_cast<uint32_t>(data.size()),
               offset = static_cast<uint32_t>(out.size());
    const uint32_t shown_size = options.zip64 ? 0xFFFFFFFF : size;
    const std::string sizes = little_endian(shown_size) + little_endian(shown_size);
    const std::string start = little_endian(uint16_t{45}) + little_endian(options.flags) +
                              little_endian(options.method) + std::string(8, '\0') + sizes +
                              little_endian(static_cast<uint16_t>(name.size()));
    std::string extra;
    if (options.zip64) {
      extra = little_endian(uint16_t{1}) + little_endian(uint16_t{24}) +
              little_endian(uint64_t{size}) + little_endian(uint64_t{size}) +
              little_endian(uint64_t{offset});
    }
    directory += "PK\1\2" + little_endian(uint16_t{45}) + start +
                 little_endian(static_cast<uint16_t>(extra.size())) + std::string(10, '\0') +
                 little_endian(options.zip64 ? 0xFFFFFFFF : offset) + name + extra;
    out += "PK\3\4" + start + little_endian(uint16_t{3}) + name + "pad" + data;
  }
  const auto place = static_cast<uint32_t>(out.size()),
             bytes = static_cast<uint32_t>(directory.size());
  const auto count = static_cast<uint16_t>(entries.size());
  out += directory;
  if (options.zip64) {
    const auto end64 = static_cast<uint64_t>(out.size());
    out += "PK\6\6" + little_endian(uint64_t{44}) + std::string(12, '\0') +
           little_endian(uint64_t{count}) + little_endian(uint64_t{count}) +
           little_endian(uint64_t{bytes}) + little_endian(uint64_t{place});
    out += "PK\6\7" + std::string(4, '\0') + little_endian(end64) + little_endian(uint32_t{1});
  }
  return out + "PK\5\6" + std::string(4, '\0') + little_endian(count) + little_endian(count) +
         little_endian(bytes) + little_endian(options.zip64 ? 0xFFFFFFFF : place) +
         little_endian(static_cast<uint16_t>(options.comment.size())) + options.comment;
}

inline std::string pickled_text(std::string_view text) {
  return "X" + little_endian(static_cast<uint32_t>(text.size())) + std::string(text);
}
inline std::string pickled_int(int32_t number) { return "J" + little_endian(number); }
inline std::string pickled_tuple(const std::vector<int32_t>& numbers) {
  std::string out = "(";
  for (const int32_t number : numbers) out += pickled_int(number);
  return out + "t";
}

struct PickledCall {
  std::string type = "FloatStorage", key = "0";
  int32_t elements = 6, offset = 0;
  std::vector<int32_t> shape = {2, 3}, strides = {3, 1};
};

// The opcodes that make one tensor.
inline std::string pickled_tensor(const PickledCall& tensor) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + pickled_text("storage") + "ctorch\n" +
         tensor.type + "\n" + pickled_text(tensor.key) + pickled_text("cpu") +
         pickled_int(tensor.elements) + "tQ" + pickled_int(tensor.offset) +
         pickled_tuple(tensor.shape) + pickled_tuple(tensor.strides) +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}

inline std::string pickled_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "\x80\x02}(";
  for (const auto& [name, opcodes] : items) out += pickled_text(name) + opcodes;
  return out + "u.";
}

// A torch file of this pickle and one storage of 24 bytes.
inline std::string torch_file(const std::string& pickle) {
  return zip_file(
      {{"m/data.pkl", pickle}, {"m/byteorder", "little"}, {"m/data/0", std::string(24, '\1')}});
}

inline std::string small_torch_file() {
  return torch_file(
      pickled_dict({{"a", pickled_tensor({})},
                    {"b", pickled_tensor({.offset = 2, .shape = {4}, .strides = {1}})}}));
}

}  // namespace lmdeploy
