#include "checkpoint/zip_archive.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>

#include "base/utf8.h"

namespace lmdeploy {

namespace {

static_assert(std::endian::native == std::endian::little, "ZIP fields are read as they lie");

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20;
constexpr size_t kDirectoryBytes = 46, kLocalBytes = 30;
constexpr size_t kMaxComment = 0xFFFF;
constexpr uint64_t kMaxEntries = 1 << 20;
constexpr uint64_t kMaxDirectoryBytes = uint64_t{256} << 20;
constexpr uint16_t kExtra64 = 0x0001;
constexpr uint16_t kEncrypted = 0x0001;
constexpr uint32_t kIn64 = 0xFFFFFFFF;  // the real number is in the ZIP64 extra field

struct Directory {
  uint64_t entries, bytes, offset;
};

// One record of the directory.
struct Record {
  uint16_t flags, method;
  uint64_t packed, size, local;
  std::string_view name;
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> bytes, std::string_view path) : bytes_(bytes), path_(path) {}

  Result<ZipEntries> read() const {
    ASSIGN_OR_RETURN(const Directory directory, find_directory());
    ZipEntries entries;
    size_t pos = directory.offset;
    const size_t end = directory.offset + directory.bytes;
    for (uint64_t i = 0; i < directory.entries; ++i) {
      ASSIGN_OR_RETURN(const Record record, read_record(pos, end));
      ASSIGN_OR_RETURN(const auto data, data_of(record));
      if (!entries.emplace(std::string(record.name), data).second) {
        return data_loss("{} has two entries named '{}'", path_, shown(record.name));
      }
    }
    return entries;
  }

 private:
  bool fits(uint64_t offset, uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }
  template <class T>
  T at(size_t offset) const {
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }
  std::string_view text(size_t offset, size_t size) const {
    return {reinterpret_cast<const char*>(bytes_.data()) + offset, size};
  }
  static std::string shown(std::string_view name) {
    return utf8_replace_invalid(name.substr(0, utf8_prefix(name, 100)));
  }
  Status truncated(std::string_view what) const {
    return data_loss("{} is truncated or damaged: {}; download or copy it again", path_, what);
  }

  // The record that ends the file, searched from the back since a comment may follow it.
  std::optional<size_t> find_end() const {
    if (bytes_.size() < kEndBytes) return std::nullopt;
    const size_t last = bytes_.size() - kEndBytes;
    for (size_t back = 0; back <= std::min(last, kMaxComment); ++back) {
      if (at<uint32_t>(last - back) == kEndSignature) return last - back;
    }
    return std::nullopt;
  }

  Result<Directory> find_directory() const {
    const std::optional<size_t> end = find_end();
    if (!end) return truncated("the directory at the end of the archive is missing");
    Directory directory{at<uint16_t>(*end + 10), at<uint32_t>(*end + 12), at<uint32_t>(*end + 16)};
    if (*end >= kLocator64Bytes && at<uint32_t>(*end - kLocator64Bytes) == kLocator64Signature) {
      const auto offset = at<uint64_t>(*end - kLocator64Bytes + 8);
      if (!fits(offset, kEnd64Bytes) || at<uint32_t>(offset) != kEnd64Signature) {
        return truncated("its ZIP64 directory is not where the archive says it is");
      }
      directory = {at<uint64_t>(offset + 32), at<uint64_t>(offset + 40), at<uint64_t>(offset + 48)};
    }
    if (directory.entries > kMaxEntries || directory.bytes > kMaxDirectoryBytes) {
      return data_loss(
          "{} claims a directory of {} entries in {} bytes; at most {} in {} are accepted", path_,
          directory.entries, directory.bytes, kMaxEntries, kMaxDirectoryBytes);
    }
    if (!fits(directory.offset, directory.bytes)) {
      return truncated("its directory lies outside the file");
    }
    return directory;
  }

  Result<Record> read_record(size_t& pos, size_t end) const {
    if (end - pos < kDirectoryBytes || at<uint32_t>(pos) != kDirectorySignature) {
      return truncated("an entry of its directory is missing");
    }
    const size_t name = at<uint16_t>(pos + 28), extra = at<uint16_t>(pos + 30);
    const size_t comment = at<uint16_t>(pos + 32);
    if (end - pos < kDirectoryBytes + name + extra + comment) {
      return truncated("an entry of its directory is cut off");
    }
    Record record{at<uint16_t>(pos + 8),  at<uint16_t>(pos + 10),
                  at<uint32_t>(pos + 20), at<uint32_t>(pos + 24),
                  at<uint32_t>(pos + 42), text(pos + kDirectoryBytes, name)};
    if (!read_extra64(pos + kDirectoryBytes + name, extra, record)) {
      return data_loss("{}: the entry '{}' lacks its ZIP64 sizes", path_, shown(record.name));
    }
    pos += kDirectoryBytes + name + extra + comment;
    return record;
  }

  // Replaces the fields that say kIn64; false when one is not there.
  bool read_extra64(size_t pos, size_t size, Record& record) const {
    const size_t end = pos + size;
    size_t field = end, field_end = end;
    while (end - pos >= 4) {
      const size_t length = at<uint16_t>(pos + 2);
      if (length > end - pos - 4) break;
      if (at<uint16_t>(pos) == kExtra64) {
        field = pos + 4;
        field_end = field + length;
      }
      pos += 4 + length;
    }
    for (uint64_t* value : {&record.size, &record.packed, &record.local}) {
      if (*value != kIn64) continue;
      if (field_end - field < sizeof(uint64_t)) return false;
      *value = at<uint64_t>(field);
      field += sizeof(uint64_t);
    }
    return true;
  }

  Result<std::span<const std::byte>> data_of(const Record& record) const {
    if ((record.flags & kEncrypted) != 0) {
      return unsupported("{}: the entry '{}' is encrypted", path_, shown(record.name));
    }
    if (record.method != 0 || record.packed != record.size) {
      return unsupported(
          "{}: the entry '{}' is compressed, which torch.save does not do; unpack the "
          "archive and pack it with `zip -0 -r`",
          path_, shown(record.name));
    }
    if (!fits(record.local, kLocalBytes) || at<uint32_t>(record.local) != kLocalSignature) {
      return truncated(
          fmt::format("the entry '{}' is not where its directory says", shown(record.name)));
    }
    const uint64_t offset = record.local + kLocalBytes + at<uint16_t>(record.local + 26) +
                            at<uint16_t>(record.local + 28);
    if (!fits(offset, record.size)) {
      return truncated(fmt::format("the entry '{}' of {} bytes ends behind the file's {}",
                                   shown(record.name), record.size, bytes_.size()));
    }
    return bytes_.subspan(offset, record.size);
  }

  std::span<const std::byte> bytes_;
  std::string_view path_;
};

}  // namespace

Result<ZipEntries> read_zip_directory(std::span<const std::byte> bytes, std::string_view path) {
  return ZipReader(bytes, path).read();
}

}  // namespace lmdeploy
