// ProtobufReader: the fields of one protocol-buffers message, in the order of the file. Reads the
// wire format alone: the caller knows what a field number means and skips the others.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace lmdeploy {

// Not thread-safe. Every length is checked against the bytes there are; nothing is allocated.
class ProtobufReader {
 public:
  enum class Wire { kVarint, kFixed64, kBytes, kFixed32 };

  explicit ProtobufReader(std::string_view message) : rest_(message) {}

  // Moves to the next field; false at the end, and where the bytes are no message (then !ok()).
  bool next() {
    if (rest_.empty() || !ok_) return false;
    uint64_t key = 0;
    ok_ = read_varint(key) && key >> 3 != 0 && key >> 32 == 0 && read_value(key & 7);
    field_ = static_cast<uint32_t>(key >> 3);
    return ok_;
  }
  bool ok() const { return ok_; }

  uint32_t field() const { return field_; }
  Wire wire() const { return wire_; }
  // The value as its wire type has it; 0 or empty for another.
  uint64_t integer() const { return integer_; }
  std::string_view bytes() const { return bytes_; }
  float real() const {
    return wire_ == Wire::kFixed32 ? std::bit_cast<float>(static_cast<uint32_t>(integer_)) : 0;
  }

 private:
  bool read_varint(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool read_fixed(size_t size) {
    if (rest_.size() < size) return false;
    std::memcpy(&integer_, rest_.data(), size);
    rest_.remove_prefix(size);
    return true;
  }
  bool read_value(uint64_t type) {
    integer_ = 0;
    bytes_ = {};
    if (type == 0) {
      wire_ = Wire::kVarint;
      return read_varint(integer_);
    }
    if (type == 1 || type == 5) {
      wire_ = type == 1 ? Wire::kFixed64 : Wire::kFixed32;
      return read_fixed(type == 1 ? 8 : 4);
    }
    uint64_t size = 0;
    if (type != 2 || !read_varint(size) || size > rest_.size()) return false;
    wire_ = Wire::kBytes;
    bytes_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_, bytes_;
  uint64_t integer_ = 0;
  uint32_t field_ = 0;
  Wire wire_ = Wire::kVarint;
  bool ok_ = true;
};

}  // namespace lmdeploy
