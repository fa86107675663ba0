#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include "tests/checkpoint/file_builders.h"

namespace lmdeploy {
namespace {

Result<std::vector<StoredTensor>> parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "m.safetensors");
}

// Expects a failure whose message holds every one of `parts`.
void expect_refused(const std::string& file, StatusCode code,
                    std::initializer_list<const char*> parts) {
  const auto result = parse(file);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), code) << result.status().message();
  for (const char* part : parts) {
    EXPECT_NE(result.status().message().find(part), std::string::npos)
        << "'" << part << "' is not in: " << result.status().message();
  }
}

TEST(Safetensors, ReadsNamesTypesShapesAndData) {
  const std::string file = small_safetensors();
  const auto result = parse(file);
  ASSERT_TRUE(result.ok()) << result.status().message();
  ASSERT_EQ(result->size(), 2u);
  const StoredTensor& a = (*result)[0];
  const StoredTensor& b = (*result)[1];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, DType::kF32);
  EXPECT_EQ(a.shape, (Shape{2, 3}));
  EXPECT_EQ(a.bytes, 24u);
  EXPECT_EQ(b.dtype, DType::kBF16);
  EXPECT_EQ(b.data - a.data, 24);
  EXPECT_EQ(reinterpret_cast<const char*>(b.data + b.bytes), file.data() + file.size());
}

TEST(Safetensors, ScalarsAndEmptyTensorsArePossible) {
  const std::string file =
      safetensors_file(R"({"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                       R"("e":{"dtype":"F16","shape":[0,4],"data_offsets":[8,8]}}   )",
                       std::string(8, '\0'));
  const auto result = parse(file);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ((*result)[0].shape.rank(), 0);
  EXPECT_EQ((*result)[1].bytes, 0u);
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string file = small_safetensors();
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(parse(file.substr(0, size)).ok()) << size;
  }
  expect_refused(file.substr(0, file.size() - 1), StatusCode::kDataLoss,
                 {"tensor 'b'", "ends at byte 32", "has 31", "truncated"});
}

TEST(Safetensors, HeaderLengthIsBounded) {
  std::string file = small_safetensors();
  std::memset(file.data(), 0xFF, 8);
  expect_refused(file, StatusCode::kDataLoss, {"18446744073709551615", "104857600"});
}

TEST(Safetensors, OverlapHoleAndTrailingBytesAreNamed) {
  expect_refused(safetensors_file(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
                                  R"("b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}})",
                                  std::string(12, 'x')),
                 StatusCode::kDataLoss, {"'b' overlaps 'a'"});
  expect_refused(safetensors_file(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                                  R"("b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}})",
                                  std::string(10, 'x')),
                 StatusCode::kDataLoss, {"2 bytes before tensor 'b' belong to no tensor"});
  expect_refused(safetensors_file(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                                  std::string(9, 'x')),
                 StatusCode::kDataLoss, {"5 bytes at the end"});
}

TEST(Safetensors, AllProblemsAreInOneStatus) {
  expect_refused(
      safetensors_file(
          R"({"short":{"dtype":"F32","shape":[4],"data_offsets":[0,15]},)"
          R"("back":{"dtype":"U8","shape":[4],"data_offsets":[8,4]},)"
          R"("huge":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,1]},)"
          R"("negative":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]},)"
          R"("deep":{"dtype":"U8","shape":[1,1,1,1,1,1],"data_offsets":[0,1]},)"
          R"("bare":{"dtype":"U8"},)"
          R"("wide":{"dtype":"U8","shape":[9223372036854775807,2,0],"data_offsets":[0,0]},)"
          R"("far":{"dtype":"U8","shape":[1],"data_offsets":[1000,1001]}})",
          std::string(16, 'x')),
      StatusCode::kDataLoss,
      {"8 problems", "'short' f32 [4] needs 16 bytes; its data_offsets hold 15", "'back'",
       "'huge' has an impossible shape", "'wide' has an impossible shape", "'negative'",
       "'deep' has 6 dimensions", "'bare' lacks",
       "'far' ends at byte 1001"});
}

TEST(Safetensors, AnUnknownDtypeIsUnsupportedByName) {
  expect_refused(safetensors_file(R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})", "xx"),
                 StatusCode::kUnsupported, {"'a'", "F4"});
}

TEST(Safetensors, AHeaderThatIsNoObjectIsRefused) {
  expect_refused(safetensors_file("[1,2]", ""), StatusCode::kDataLoss, {"not a JSON object"});
  expect_refused(safetensors_file("{\"a\":", ""), StatusCode::kDataLoss, {"not valid JSON"});
  expect_refused(safetensors_file("{}", ""), StatusCode::kDataLoss, {"names no tensor"});
}

}  // namespace
}  // namespace lmdeploy
