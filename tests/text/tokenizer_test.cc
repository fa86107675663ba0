#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/utf8.h"
#include "text/byte_level.h"
#include "text/detokenizer.h"
#include "text/normalizer.h"

namespace lmdeploy {
namespace {

using Ids = std::vector<int32_t>;

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(testing::TempDir()) / fmt::format("{}.{}", info->test_suite_name(), info->name());
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_.string(); }
  void write(const char* name, std::string_view text) const { std::ofstream(path_ / name) << text; }

 private:
  std::filesystem::path path_;
};

Result<std::unique_ptr<Tokenizer>> load(std::string_view json) {
  const Folder folder;
  folder.write("tokenizer.json", json);
  return Tokenizer::from_file(folder.path() + "/tokenizer.json");
}

std::string error_of(std::string_view json) {
  const auto tokenizer = load(json);
  return tokenizer.ok() ? "no error" : tokenizer.status().message();
}

// Sentencepiece style: metaspace, byte fallback, unknown characters, added tokens of every flag.
constexpr char kMetaspaceJson[] = R"({
  "normalizer": {"type": "Sequence", "normalizers": [
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "pre_tokenizer": null,
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
  "decoder": {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
  "added_tokens": [
    {"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true},
    {"id": 12, "content": "<l>", "lstrip": true, "normalized": false},
    {"id": 13, "content": "<r>", "rstrip": true, "normalized": false},
    {"id": 14, "content": "word", "single_word": true, "normalized": false}],
  "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
    "vocab": {"<unk>": 0, "<s>": 1, "▁": 2, "a": 3, "b": 4, "ab": 5, "▁ab": 6, "<0xC3>": 7,
              "<0xA9>": 8, "▁a": 9, "w": 10, "<0xE2>": 11},
    "merges": ["a b", "▁ ab", ["▁", "a"]]}})";

TEST(Tokenizer, SentencepieceStyle) {
  const auto loaded = load(kMetaspaceJson);
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const Tokenizer& t = **loaded;
  EXPECT_EQ(t.vocab_size(), 15);
  EXPECT_EQ(t.encode("ab a"), (Ids{1, 6, 9}));
  EXPECT_EQ(t.encode("ab a", {.add_special_tokens = false}), (Ids{6, 9}));
  EXPECT_EQ(t.encode(""), Ids{1});
  EXPECT_EQ(t.encode("aé", {.add_special_tokens = false}), (Ids{9, 7, 8}));
  EXPECT_EQ(t.encode("axyzb", {.add_special_tokens = false}), (Ids{9, 0, 4})) << "one id for the unknown run";
  EXPECT_EQ(t.encode("a  <l>b", {.add_special_tokens = false}), (Ids{9, 12, 2, 4}));
  EXPECT_EQ(t.encode("<r>  ab", {.add_special_tokens = false}), (Ids{13, 6}));
  EXPECT_EQ(t.encode("word", {.add_special_tokens = false}), Ids{14});
  EXPECT_EQ(t.encode("awordb", {.add_special_tokens = false}), (Ids{9, 10, 0, 4})) << "inside a word";
  EXPECT_EQ(t.piece(6), "▁ab");
  EXPECT_EQ(t.id_of("▁ab"), 6);
  EXPECT_EQ(t.id_of("nothing"), std::nullopt);
  EXPECT_TRUE(t.is_special(1));
  EXPECT_FALSE(t.is_special(12));
}

TEST(Tokenizer, DecodesByteRunsAsAWhole) {
  const auto loaded = load(kMetaspaceJson);
  ASSERT_TRUE(loaded.ok());
  const Tokenizer& t = **loaded;
  EXPECT_EQ(t.decode(Ids{1, 6, 9}), "ab a");
  EXPECT_EQ(t.decode(Ids{1, 6, 9}, {.skip_special_tokens = false}), "<s> ab a");
  EXPECT_EQ(t.decode(Ids{3, 7, 8, 4}), "aéb");
  EXPECT_EQ(t.decode(Ids{3, 7, 8, 7, 4}), "a\uFFFD\uFFFD\uFFFDb");
  EXPECT_EQ(t.decode(Ids{-1, 3, 1000000, 4}), "ab") << "ids outside the vocabulary";
}

TEST(Detokenizer, HoldsBackWhatMayChange) {
  const auto loaded = load(kMetaspaceJson);
  ASSERT_TRUE(loaded.ok());
  IncrementalDetokenizer stream(**loaded);
  EXPECT_EQ(stream.push(6), "ab");
  EXPECT_EQ(stream.push(7), "");
  EXPECT_EQ(stream.push(8), "");
  EXPECT_EQ(stream.push(9), "é a");
  EXPECT_EQ(stream.push(11), "");
  EXPECT_EQ(stream.flush(), "\uFFFD");
}

// Every byte is a piece, spelled in the byte-level alphabet; one merge, one control token.
GgufVocabulary byte_vocabulary() {
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = "gpt-2";
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string piece;
    utf8_append(piece, byte_level_char(static_cast<unsigned char>(byte)));
    vocabulary.tokens.push_back(piece);
  }
  vocabulary.tokens.push_back("he");
  vocabulary.tokens.push_back("<|end|>");
  vocabulary.token_types.assign(258, 1);
  vocabulary.token_types[257] = 3;
  vocabulary.merges = {"h e"};
  vocabulary.eos = 257;
  return vocabulary;
}

TEST(Tokenizer, ByteLevelGguf) {
  const auto loaded = Tokenizer::from_gguf(byte_vocabulary());
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const Tokenizer& t = **loaded;
  EXPECT_EQ(t.encode("hehe<|end|>h"), (Ids{256, 256, 257, 'h'}));
  EXPECT_EQ(t.encode("h\xFF" "e"), (Ids{'h', 0xEF, 0xBF, 0xBD, 'e'})) << "invalid UTF-8 is U+FFFD";
  EXPECT_EQ(t.decode(t.encode("naïve 😀")), "naïve 😀");
  EXPECT_EQ(t.decode(Ids{0xF0, 0x9F, 'x', 0x98}), "\uFFFDx\uFFFD");
  EXPECT_EQ(t.end_ids(), Ids{257});
  EXPECT_EQ(t.eos_id(), 257);
}

TEST(Tokenizer, AMessageEndIsNoTurnEndWhereReturnIs) {
  GgufVocabulary vocabulary = byte_vocabulary();
  EXPECT_EQ((*Tokenizer::from_gguf(vocabulary))->end_ids(), Ids{257});
  for (const char* name : {"<|return|>", "<|call|>"}) {
    vocabulary.tokens.push_back(name);
    vocabulary.token_types.push_back(3);
  }
  vocabulary.eos = 258;
  vocabulary.eot = 257;
  EXPECT_EQ((*Tokenizer::from_gguf(vocabulary))->end_ids(), (Ids{258, 259}));
}

TEST(Tokenizer, GgufNormalizesAsItsFamilyDoes) {
  const std::string decomposed = "e\u0301";
  const auto text_of = [&](const char* pre) {
    GgufVocabulary vocabulary = byte_vocabulary();
    vocabulary.pre = pre;
    const auto loaded = Tokenizer::from_gguf(std::move(vocabulary));
    return (*loaded)->decode((*loaded)->encode(decomposed));
  };
  EXPECT_EQ(text_of("qwen2"), "é");
  EXPECT_EQ(text_of("command-r"), "é");
  EXPECT_EQ(text_of("smollm"), decomposed);
  EXPECT_EQ(text_of("llama-bpe"), decomposed);
}

// U+1AC9 came after the Unicode version of `tokenizers`, which leaves it before a mark of a lower class.
TEST(Tokenizer, NfcLeavesLaterMarksWhereTheyAre) {
  const auto nfc = [](std::string text) {
    make_normal_form(NormalForm::kNfc)->apply(text);
    return text;
  };
  EXPECT_EQ(nfc("q\u1AC9\u0334"), "q\u1AC9\u0334");
  EXPECT_EQ(nfc("q\u0301\u0334"), "q\u0334\u0301");
  EXPECT_EQ(nfc("a\u1AC9\u0301"), "a\u1AC9\u0301");
  EXPECT_EQ(nfc("\U00011935\U00011930"), "\U00011935\U00011930");
}

TEST(Tokenizer, NfcStepEqualsTheWholeFormForEveryCodePoint) {
  const auto step = make_normal_form(NormalForm::kNfc);
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text = "a";
    utf8_append(text, c);
    const std::string expected = normal_form(text, NormalForm::kNfc);
    step->apply(text);
    ASSERT_EQ(text, expected) << "U+" << std::hex << static_cast<uint32_t>(c);
  }
}

TEST(Detokenizer, StreamEqualsWholeForAnyBytes) {
  const auto loaded = Tokenizer::from_gguf(byte_vocabulary());
  ASSERT_TRUE(loaded.ok());
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    Ids ids;
    for (uint32_t i = 0; i < 12; ++i) {
      const uint32_t draw = (seed * 2654435761u + i * 40503u * (seed + 7)) >> 7;
      constexpr uint8_t kBytes[] = {0xF0, 0x9F, 0x98, 0x80, 0xE2, 0x82, 0xAC, 0xC3, 0xA9, 0x41, 0xED, 0xA0, 0xF4, 0xFF};
      ids.push_back(kBytes[draw % std::size(kBytes)]);
    }
    IncrementalDetokenizer stream(**loaded);
    std::string text;
    for (const int32_t id : ids) {
      const std::string piece = stream.push(id);
      ASSERT_TRUE(utf8_valid(piece));
      text += piece;
    }
    ASSERT_EQ(text + stream.flush(), (*loaded)->decode(ids));
  }
}

TEST(Tokenizer, IsSharedByThreads) {
  const auto loaded = Tokenizer::from_gguf(byte_vocabulary());
  ASSERT_TRUE(loaded.ok());
  const Ids expected = (*loaded)->encode("hello there, he said; hehehe");
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 500; ++round) {
        if ((*loaded)->encode("hello there, he said; hehehe") != expected) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, GgufErrorsNameTheField) {
  const auto error = [](auto change) {
    GgufVocabulary vocabulary = byte_vocabulary();
    change(vocabulary);
    const auto loaded = Tokenizer::from_gguf(std::move(vocabulary));
    return loaded.ok() ? std::string("no error") : loaded.status().message();
  };
  EXPECT_NE(error([](auto& v) { v.pre = "klingon"; }).find("'klingon'"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.pre = "chatglm-bpe"; }).find("'chatglm-bpe'"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.tokens[5] = std::string(5 << 20, 'x'); })
                .find("has 5242880 bytes; at most 1024"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.model = "t5"; }).find("'t5'"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.merges = {"h zz"}; }).find("'h zz'"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.merges = {"he"}; }).find("'he'"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.eos = 258; }).find("258"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.token_types.pop_back(); }).find("257"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.tokens[3] = "\xFF"; }).find("token 3"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.tokens.clear(); }).find("empty"), std::string::npos);
  EXPECT_NE(error([](auto& v) { v.model = "llama"; }).find("scores"), std::string::npos);
}

TEST(Tokenizer, JsonErrorsNameTheKeyAndTheValue) {
  EXPECT_NE(error_of("[1]").find("object"), std::string::npos);
  EXPECT_NE(error_of("{}").find("'model'"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"type": "Unigram"}})").find("'Unigram'"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 0, "b": 0}, "merges": []}})").find("both have id 0"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": -1}, "merges": []}})").find("-1"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 99999999999}, "merges": []}})").find("99999999999"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 0}, "merges": ["a b"]}})").find("'b'"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 0}, "merges": ["aa"]}})").find("merge 0"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 0}, "merges": [], "unk_token": "u"}})").find("'u'"), std::string::npos);
  EXPECT_NE(error_of(R"({"normalizer": {"type": "Nmt"}})").find("'Nmt'"), std::string::npos);
  EXPECT_NE(error_of(R"({"pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "("}}})").find("'('"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 0}, "merges": []}, "added_tokens": [{"content": "b"}]})").find("'b'"), std::string::npos);
}

// Each would take gigabytes, or minutes, if it were read.
TEST(Tokenizer, SizesStayInProportionToTheFile) {
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 16000000}, "merges": []}})")
                .find("the id of piece 'a' is 16000000; expected 0 to 65537"), std::string::npos);
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 0}, "merges": []},
                         "added_tokens": [{"content": "b", "id": 9000000}]})")
                .find("the id of piece 'b' is 9000000; expected 0 to"), std::string::npos);
  const std::string large(3000, 'p');
  const std::string long_piece = error_of(R"({"model": {"vocab": {")" + large + R"(": 0}, "merges": []}})");
  EXPECT_NE(long_piece.find("has 3000 bytes; at most 1024 are accepted"), std::string::npos) << long_piece;
  EXPECT_LT(long_piece.size(), 300u) << "the piece is shown by its beginning";
  std::string added;
  for (int i = 0; i < 2200; ++i) {
    added += fmt::format(R"({}{{"content": "{}{}", "id": {}}})", i == 0 ? "" : ",",
                         std::string(1000, 'q'), i, i + 1);
  }
  EXPECT_NE(error_of(R"({"model": {"vocab": {"a": 0}, "merges": []}, "added_tokens": [)" + added + "]}")
                .find("more than 2097152 bytes in all"), std::string::npos);
  GgufVocabulary scored;
  scored.model = "llama";
  for (int i = 0; i < 3000; ++i) scored.tokens.push_back(std::string(1000, 'x') + std::to_string(i));
  scored.scores.assign(scored.tokens.size(), 0);
  const auto loaded = Tokenizer::from_gguf(std::move(scored));
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.status().message().find("squared lengths"), std::string::npos);
}

TEST(Tokenizer, AChatTemplateFileIsBounded) {
  const Folder folder;
  folder.write("tokenizer.json", kMetaspaceJson);
  folder.write("chat_template.jinja", std::string((4 << 20) + 1, 'x'));
  const auto loaded = Tokenizer::from_file(folder.path());
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.status().message().find("chat_template.jinja has more than 4194304 bytes"),
            std::string::npos) << loaded.status().message();
}

TEST(Tokenizer, AFolderAddsWhatItsConfigSays) {
  const Folder folder;
  folder.write("tokenizer.json", kMetaspaceJson);
  folder.write("tokenizer_config.json",
               R"({"bos_token": {"content": "<s>"}, "eos_token": "<l>", "add_bos_token": false,
                   "add_eos_token": true, "chat_template": [{"name": "default", "template": "T"}]})");
  const auto loaded = Tokenizer::from_file(folder.path());
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ((*loaded)->bos_id(), 1);
  EXPECT_EQ((*loaded)->eos_id(), 12);
  EXPECT_EQ((*loaded)->end_ids(), Ids{12});
  EXPECT_EQ((*loaded)->chat_template(), "T");
  EXPECT_EQ((*loaded)->encode("ab"), (Ids{6, 12}));
  folder.write("chat_template.jinja", "J");
  EXPECT_EQ((*Tokenizer::from_file(folder.path()))->chat_template(), "J");
}

}  // namespace
}  // namespace lmdeploy
