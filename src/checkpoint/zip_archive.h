// The entries of a ZIP archive whose members are stored and not compressed, as torch.save writes it
// (docs/formats/torch-bin.md). ZIP64 included.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"

namespace lmdeploy {

// Name -> bytes, inside the archive's own.
using ZipEntries = std::map<std::string, std::span<const std::byte>, std::less<>>;

// `bytes`: the whole file. kDataLoss for one that is truncated or whose directory lies;
// kUnsupported for a compressed or encrypted entry, by name. Checksums are not computed.
Result<ZipEntries> read_zip_directory(std::span<const std::byte> bytes, std::string_view path);

}  // namespace lmdeploy
