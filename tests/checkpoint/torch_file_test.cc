#include "checkpoint/torch_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "tests/checkpoint/torch_builder.h"

namespace lmdeploy {
namespace {

std::span<const std::byte> bytes_of(const std::string& file) {
  return std::as_bytes(std::span(file));
}

// A file that torch wrote (tools/make_torch_golden.py).
std::string golden(const std::string& name) {
  std::ifstream file(LMDEPLOY_TEST_DATA "/checkpoint/torch/" + name, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), {});
  EXPECT_FALSE(bytes.empty()) << name;
  return bytes;
}

using Tensors = std::map<std::string, StoredTensor>;

Tensors parse(const std::string& file) {
  auto result = parse_torch_file(bytes_of(file), "m.bin");
  EXPECT_TRUE(result.ok()) << result.status().message();
  Tensors tensors;
  if (result.ok()) {
    for (const StoredTensor& tensor : *result) tensors.emplace(tensor.name, tensor);
  }
  return tensors;
}

void expect_refused(const std::string& file, StatusCode code,
                    std::initializer_list<const char*> parts) {
  const auto result = parse_torch_file(bytes_of(file), "m.bin");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  for (const char* part : parts) {
    EXPECT_NE(result.status().message().find(part), std::string::npos)
        << "'" << part << "' is not in: " << result.status().message();
  }
}

template <class T>
T element(const StoredTensor& tensor, size_t index) {
  T value;
  std::memcpy(&value, tensor.data + index * sizeof(T), sizeof(T));
  return value;
}

TEST(TorchFile, ReadsEveryTypeThatTorchWrites) {
  const std::string file = golden("dtypes.bin");
  const Tensors tensors = parse(file);
  const std::map<std::string, DType> types = {{"float32", DType::kF32},   {"float16", DType::kF16},
                                              {"bfloat16", DType::kBF16}, {"float64", DType::kF64},
                                              {"int64", DType::kI64},     {"int32", DType::kI32},
                                              {"int16", DType::kI16},     {"int8", DType::kI8},
                                              {"uint8", DType::kU8},      {"bool", DType::kBool}};
  ASSERT_EQ(tensors.size(), types.size());
  for (const auto& [name, type] : types) {
    EXPECT_EQ(tensors.at(name).dtype, type) << name;
    EXPECT_EQ(tensors.at(name).shape, (Shape{2, 3})) << name;
    EXPECT_EQ(tensors.at(name).bytes, static_cast<size_t>(dtype_bytes(type, 6))) << name;
  }
  EXPECT_EQ(element<float>(tensors.at("float32"), 5), 5.0f);
  EXPECT_EQ(element<int64_t>(tensors.at("int64"), 4), 4);
  EXPECT_EQ(element<uint16_t>(tensors.at("bfloat16"), 3), 0x4040) << "3.0";
  EXPECT_EQ(element<uint16_t>(tensors.at("float16"), 3), 0x4200) << "3.0";
  EXPECT_EQ(element<uint8_t>(tensors.at("bool"), 1), 1);
}

TEST(TorchFile, AStateDictOfAModuleSharesTiedWeights) {
  const std::string file = golden("module.bin");
  const Tensors tensors = parse(file);
  ASSERT_EQ(tensors.size(), 4u);
  EXPECT_EQ(tensors.at("embed.weight").data, tensors.at("head.weight").data);
  EXPECT_EQ(tensors.at("norm.bias").shape, Shape{8});
  EXPECT_EQ(element<float>(tensors.at("head.weight"), 31), 31.0f);
  const std::string parameter = golden("parameter.bin");
  EXPECT_EQ(element<float>(parse(parameter).at("p"), 2), 2.0f);
}

TEST(TorchFile, ViewsAreRowMajorBlocksOfTheirStorage) {
  const std::string file = golden("views.bin");
  const Tensors tensors = parse(file);
  EXPECT_EQ(tensors.at("rows").shape, (Shape{2, 6}));
  EXPECT_EQ(element<float>(tensors.at("rows"), 0), 6.0f);
  EXPECT_EQ(element<float>(tensors.at("flat"), 0), 5.0f);
  EXPECT_EQ(tensors.at("flat").bytes, 16u);
  EXPECT_EQ(tensors.at("scalar").shape.rank(), 0);
  EXPECT_EQ(tensors.at("empty").bytes, 0u);
  EXPECT_EQ(tensors.at("column").shape, (Shape{1, 3})) << "the stride of one element says nothing";
  expect_refused(golden("strided.bin"), StatusCode::kUnsupported,
                 {"2 problems", "'transposed' [6, 4] has strides [1,6]", "'every_second' [4, 3]",
                  "contiguous()"});
}

TEST(TorchFile, OtherTorchFilesAreRefusedByName) {
  expect_refused(golden("legacy.bin"), StatusCode::kUnsupported,
                 {"torch before 1.6", "torch.save(torch.load("});
  expect_refused(golden("training.bin"), StatusCode::kUnsupported,
                 {"'epoch' is an integer and no tensor"});
  expect_refused(golden("whole_module.bin"), StatusCode::kUnsupported,
                 {"'torch.nn.modules.container.Sequential'"});
  expect_refused(golden("protocol4.bin"), StatusCode::kUnsupported, {"protocol 4"});
  expect_refused("not a torch file", StatusCode::kDataLoss, {"no torch file"});
  expect_refused(zip_file({{"a/b.txt", "x"}}), StatusCode::kUnsupported, {"without a data.pkl"});
  expect_refused(zip_file({{"m/data.pkl", ""}, {"n/data.pkl", ""}}), StatusCode::kDataLoss,
                 {"two pickles"});
  expect_refused(zip_file({{"m/data.pkl", "."}, {"m/byteorder", "big"}}), StatusCode::kUnsupported,
                 {"byte order 'big'"});
}

// Refused where it is named, before anything could be called with it.
TEST(TorchFile, CodeIsRefusedByName) {
  const auto pickle = [](const std::string& body) { return torch_file("\x80\x02" + body); };
  const std::string argument = "(" + pickled_text("id > /tmp/owned") + "tR.";
  for (const char* global :
       {"os\nsystem", "posix\nsystem", "builtins\neval", "builtins\nexec", "subprocess\nPopen",
        "torch\nload", "torch.storage\n_load_from_bytes", "collections\nCounter", "torch\nSize",
        "torch._utils\n_rebuild_tensor_v3", "\n"}) {
    const auto result =
        parse_torch_file(bytes_of(pickle("c" + std::string(global) + "\n" + argument)), "m.bin");
    ASSERT_FALSE(result.ok()) << global;
    EXPECT_NE(result.status().message().find("Nothing was called"), std::string::npos)
        << result.status().message();
  }
  expect_refused(pickle("cos\nsystem\n" + argument), StatusCode::kUnsupported,
                 {"'os.system'", "may be an attack"});
  // INST, OBJ, NEWOBJ, EXT1, STACK_GLOBAL, BINBYTES, PERSID, DUP, the text opcodes of protocol 0.
  for (const std::string body :
       {"(ios\nsystem\n.", "(o.", ")\x81.", "\x82\x01.", "\x93.", "B\1\0\0\0x.", "P1\n.", "2.",
        "I1\n.", "S'x'\n.", "V1\n.", "d.", "l.", "0."}) {
    expect_refused(pickle(body), StatusCode::kUnsupported,
                   {"opcode", "torch.save does not write", "not read"});
  }
}

TEST(TorchFile, KnownGlobalsDoNothingElse) {
  const auto pickle = [](const std::string& body) { return torch_file("\x80\x02" + body); };
  const std::string dict = "ccollections\nOrderedDict\n";
  expect_refused(pickle(dict + "((" + pickled_text("a") + pickled_int(1) + "ttR."),
                 StatusCode::kDataLoss, {"made from something"});
  expect_refused(pickle("ctorch\nFloatStorage\n)R."), StatusCode::kDataLoss,
                 {"a storage's type is called"});
  expect_refused(pickle(pickled_text("f") + ")R."), StatusCode::kDataLoss, {"a string is called"});
  expect_refused(pickle("ctorch._utils\n_rebuild_tensor_v2\n)R."), StatusCode::kDataLoss,
                 {"not made from"});
  expect_refused(pickle("ctorch._utils\n_rebuild_parameter\n(}\x89" + dict + ")RtR."),
                 StatusCode::kDataLoss, {"a parameter"});
  expect_refused(pickle("(" + pickled_text("storage") + dict + pickled_text("0") +
                        pickled_text("cpu") + pickled_int(1) + "tQ."),
                 StatusCode::kDataLoss, {"is no storage"});
  expect_refused(pickle("K\1Q."), StatusCode::kDataLoss, {"persistent id"});
  expect_refused(pickle(dict + "}b."), StatusCode::kUnsupported, {"sets attributes"});
  expect_refused(pickle(pickled_tensor({}) + "}b."), StatusCode::kUnsupported, {"sets attributes"});
  expect_refused(pickle("}Nb."), StatusCode::kUnsupported, {"sets attributes"});
  expect_refused(pickle("]."), StatusCode::kUnsupported, {"holds a list"});
}

// Each would take gigabytes, or a deep recursion, if it were believed.
TEST(TorchFile, BombsAreRefused) {
  const auto pickle = [](const std::string& body) { return torch_file("\x80\x02" + body); };
  // A memo of tuples that hold each other twice: 2^40 leaves.
  std::string laughs = "K\1q" + std::string(1, '\0');
  for (int i = 0; i < 40; ++i) laughs += std::string("h\0h\0\x86q\0", 7);
  expect_refused(pickle(laughs + "."), StatusCode::kUnsupported, {"holds a tuple"});
  std::string deep(500000, ']');
  deep.append(499999, 'a').append(".");
  expect_refused(pickle(deep), StatusCode::kUnsupported, {"holds a list"});
  expect_refused(pickle(std::string(500000, '(') + "."), StatusCode::kDataLoss,
                 {"a value is missing"});
  expect_refused(pickle("X\xFF\xFF\xFF\xFFx."), StatusCode::kDataLoss,
                 {"4294967295 bytes are needed"});
  expect_refused(pickle("Nr\xFF\xFF\xFF\xFF"
                        "0j\xFE\xFF\xFF\xFF."),
                 StatusCode::kUnsupported, {"opcode 0x30"});
  expect_refused(pickle("j\xFE\xFF\xFF\xFF."), StatusCode::kDataLoss,
                 {"nothing was kept under 4294967294"});
  expect_refused(pickle("\x8a\xFF."), StatusCode::kDataLoss, {"an integer has 255 bytes"});
  expect_refused(pickle(std::string(9 << 20, 'N') + "."), StatusCode::kDataLoss,
                 {"more than 8388608 values"});
  expect_refused(torch_file(std::string((64 << 20) + 1, '.')), StatusCode::kDataLoss,
                 {"at most 67108864"});
  // One tensor under a million names, or under one name a million times.
  expect_refused(pickle("}(" + pickled_text("a") + pickled_tensor({}) + pickled_text("a") +
                        pickled_tensor({}) + "u."),
                 StatusCode::kDataLoss, {"'a' is in the dict twice"});
  expect_refused(pickle("}(" + pickled_text(std::string(2000, 'n')) + pickled_tensor({}) + "u."),
                 StatusCode::kDataLoss, {"at most 1024 bytes"});
  const std::vector<int32_t> many(100, 1);
  expect_refused(pickle(pickled_tensor({.shape = many, .strides = many}) + "."),
                 StatusCode::kDataLoss, {"not made from"});
}

TEST(TorchFile, TensorsMustFitTheirStorage) {
  expect_refused(
      torch_file(pickled_dict(
          {{"far", pickled_tensor({.offset = 1})},
           {"negative", pickled_tensor({.offset = -1})},
           {"more", pickled_tensor({.elements = 7})},
           {"other", pickled_tensor({.key = "1"})},
           {"wide", pickled_tensor({.type = "DoubleStorage"})},
           {"shape", pickled_tensor({.shape = {-2, 3}})},
           {"huge",
            pickled_tensor({.shape = {2000000000, 2000000000, 2000000000}, .strides = {1, 1, 1}})},
           {"deep", pickled_tensor({.shape = {1, 1, 1, 1, 1, 1}, .strides = {1, 1, 1, 1, 1, 1}})},
           {"up", pickled_tensor({.key = "../byteorder"})}})),
      StatusCode::kDataLoss,
      {"9 problems", "'far' [2, 3] begins at element 1 of a storage of 6", "'negative'",
       "should hold 7 f32 elements and has 24 bytes", "the storage 1 of tensor 'other'",
       "'wide' should hold 6 f64", "'shape' has an impossible shape [-2,3]",
       "'huge' has an impossible shape", "'deep' has 6 dimensions",
       "tensor 'up' is not in the file"});
  expect_refused(torch_file(pickled_dict({})), StatusCode::kDataLoss, {"names no tensor"});
}

TEST(TorchFile, Zip64AndCommentsAreRead) {
  const std::vector<std::pair<std::string, std::string>> entries = {
      {"m/data.pkl", pickled_dict({{"a", pickled_tensor({})}})},
      {"m/data/0", std::string(24, '\1')}};
  for (const ZipOptions& options :
       {ZipOptions{}, ZipOptions{.zip64 = true}, ZipOptions{.comment = "made by hand"}}) {
    const std::string file = zip_file(entries, options);
    EXPECT_EQ(parse(file).size(), 1u);
    for (size_t size = 0; size < file.size() - options.comment.size(); ++size) {
      EXPECT_FALSE(parse_torch_file(bytes_of(file.substr(0, size)), "m.bin").ok()) << size;
    }
  }
  expect_refused(zip_file(entries, {.method = 8}), StatusCode::kUnsupported,
                 {"'m/data.pkl' is compressed", "zip -0"});
  expect_refused(zip_file(entries, {.flags = 1}), StatusCode::kUnsupported,
                 {"'m/data.pkl' is encrypted"});
  expect_refused(zip_file({entries[0], entries[0]}), StatusCode::kDataLoss,
                 {"two entries named 'm/data.pkl'"});
  expect_refused(zip_file(entries).substr(0, 40), StatusCode::kDataLoss,
                 {"truncated", "directory at the end"});
  std::string lying = zip_file(entries);
  lying.replace(lying.size() - 12, 2, "\xFF\xFF");
  expect_refused(lying, StatusCode::kDataLoss, {"an entry of its directory is missing"});
}

}  // namespace
}  // namespace lmdeploy
