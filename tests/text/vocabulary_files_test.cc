// Vocabularies in sentencepiece and tiktoken files.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/random.h"
#include "tests/text/sentencepiece_builder.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"

namespace lmdeploy {
namespace {

using Ids = std::vector<int32_t>;

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(testing::TempDir()) /
            fmt::format("{}.{}", info->test_suite_name(), info->name());
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_.string(); }
  void write(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(text.data(), static_cast<std::streamsize>(text.size()));
  }

 private:
  std::filesystem::path path_;
};

// A directory of these files.
Result<std::unique_ptr<Tokenizer>> load(
    const std::vector<std::pair<std::string, std::string>>& files) {
  const Folder folder;
  for (const auto& [name, text] : files) folder.write(name, text);
  return Tokenizer::from_file(folder.path());
}

std::unique_ptr<Tokenizer> load_pieces(const SentencepieceBuilder& builder,
                                       const std::string& config = "{}") {
  auto loaded = load({{"tokenizer.model", builder.build()}, {"tokenizer_config.json", config}});
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
  return std::move(*loaded);
}

constexpr EncodeOptions kPlain{.add_special_tokens = false};

TEST(Sentencepiece, MergesTheBestScoreAndKeepsUserDefinedPiecesWhole) {
  const auto t = load_pieces(small_sentencepiece());
  EXPECT_EQ(t->encode("ab a"), (Ids{1, 9, 8}))
      << "<s> first, where no configuration says otherwise";
  EXPECT_EQ(t->encode("cab", kPlain), (Ids{3, 6, 7}));
  EXPECT_EQ(t->encode("abc", kPlain), (Ids{9, 6})) << "ab before bc";
  EXPECT_EQ(t->encode("bc[U]bc", kPlain), (Ids{3, 12, 10, 12}))
      << "no prefix behind a user-defined piece";
  EXPECT_EQ(t->encode(" a  b", kPlain), (Ids{3, 8, 3, 3, 5})) << "every space counts";
  EXPECT_EQ(t->encode("axyzb", kPlain), (Ids{8, 0, 5})) << "one id for a run of unknown characters";
  EXPECT_EQ(t->encode("", kPlain), Ids{});
  EXPECT_EQ(t->decode(Ids{1, 9, 8, 2}), "ab a");
  EXPECT_EQ(t->bos_id(), 1);
  EXPECT_EQ(t->end_ids(), Ids{2});
  EXPECT_EQ(t->vocab_size(), 13);
}

TEST(Sentencepiece, SpecialTokensInTextAndTheirPrefix) {
  const auto legacy = load_pieces(small_sentencepiece());
  EXPECT_EQ(legacy->encode("a<ctl>ab</s>", kPlain), (Ids{8, 11, 9, 2}));
  const auto modern =
      load_pieces(small_sentencepiece(), R"({"legacy": false, "add_bos_token": false})");
  EXPECT_EQ(modern->encode("a<ctl>ab</s> a"), (Ids{8, 11, 7, 2, 8}))
      << "only the text's begin gets a prefix";
  const auto none =
      load_pieces(small_sentencepiece(), R"({"legacy": false, "add_prefix_space": false})");
  EXPECT_EQ(none->encode("ab"), (Ids{1, 7}));
  EXPECT_EQ(none->decode(Ids{9}), " ab");
}

TEST(Sentencepiece, FilesBesideItAddTokens) {
  const auto loaded = load({{"tokenizer.model", small_sentencepiece().build()},
                            {"added_tokens.json", R"({"<|im_end|>": 14, "<x>": 13})"},
                            {"special_tokens_map.json",
                             R"({"eos_token": {"content": "<|im_end|>"}, "pad_token": "<pad>"})"},
                            {"chat_template.jinja", "T"}});
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const Tokenizer& t = **loaded;
  EXPECT_EQ(t.encode("a<x>a<|im_end|><pad>", kPlain), (Ids{8, 13, 8, 14, 15}));
  EXPECT_TRUE(t.is_special(14));
  EXPECT_FALSE(t.is_special(13)) << "what no file calls special is text";
  EXPECT_EQ(t.eos_id(), 14);
  EXPECT_EQ(t.chat_template(), "T");
  const auto renamed = load_pieces(small_sentencepiece(), R"({"added_tokens_decoder":
      {"10": {"content": "<|im_start|>", "special": true, "normalized": false}}})");
  EXPECT_EQ(renamed->encode("<|im_start|>[U]", kPlain), (Ids{10, 3, 10}))
      << "InternLM 2 renames unused pieces";
  EXPECT_EQ(renamed->piece(10), "<|im_start|>");
}

TEST(Sentencepiece, ByteFallbackNeedsAllBytes) {
  SentencepieceBuilder builder = small_sentencepiece();
  builder.byte_fallback = true;
  for (int byte = 0; byte < 256; ++byte)
    builder.pieces.push_back({fmt::format("<0x{:02X}>", byte), 0, 6});
  const auto t = load_pieces(builder);
  EXPECT_EQ(t->encode("é", kPlain), (Ids{3, 13 + 0xC3, 13 + 0xA9}));
  EXPECT_EQ(t->decode(Ids{4, 13 + 0xC3, 13 + 0xA9}), "aé");
  builder.model_type = 1;
  EXPECT_EQ(load_pieces(builder)->encode("é", kPlain), (Ids{3, 13 + 0xC3, 13 + 0xA9}));
}

TEST(Sentencepiece, UnigramTakesTheMostProbableWay) {
  SentencepieceBuilder builder = small_sentencepiece();
  builder.model_type = 1;
  const auto t = load_pieces(builder);
  EXPECT_EQ(t->encode("abc", kPlain), (Ids{8, 12})) << "-2 - 1.5 beats -3 - 7";
  EXPECT_EQ(t->encode("a[U]c", kPlain), (Ids{8, 10, 6}));
  EXPECT_EQ(t->encode("xyzc", kPlain), (Ids{3, 0, 6}));
}

TEST(Sentencepiece, ExtraWhiteSpaceGoes) {
  SentencepieceBuilder builder = small_sentencepiece();
  builder.remove_extra_whitespaces = true;
  const auto t = load_pieces(builder);
  EXPECT_EQ(t->encode("  a   ab  ", kPlain), (Ids{8, 9}));
  EXPECT_EQ(t->encode("   ", kPlain), Ids{});
}

TEST(Sentencepiece, ChatGlmHasTokensBehindTheFile) {
  const std::string config =
      R"({"tokenizer_class": "ChatGLMTokenizer", "name_or_path": "THUDM/chatglm)";
  const auto third = load_pieces(small_sentencepiece(), config + R"(3-6b"})");
  EXPECT_EQ(third->encode("a"), (Ids{14, 16, 8})) << "[gMASK] sop";
  EXPECT_EQ(third->encode("<|user|>sop", kPlain), (Ids{19, 3, 0})) << "'sop' is a word";
  EXPECT_EQ(third->decode(Ids{14, 16, 8, 19, 2}), "a");
  const auto second = load_pieces(small_sentencepiece(), config + R"(2-6b"})");
  EXPECT_EQ(second->vocab_size(), 18);
  EXPECT_EQ(second->id_of("<|user|>"), std::nullopt);
}

std::string error_of(const std::string& file) {
  const auto model = parse_sentencepiece(file);
  return model.ok() ? "no error" : model.status().message();
}

std::string error_of(void (*change)(SentencepieceBuilder&)) {
  SentencepieceBuilder builder = small_sentencepiece();
  change(builder);
  return error_of(builder.build());
}

TEST(Sentencepiece, ErrorsSayWhatIsWrong) {
  EXPECT_NE(error_of("\x0A\xFF\xFF\xFF\xFF\x7F").find("no protocol-buffers message"),
            std::string::npos);
  EXPECT_NE(error_of(proto_bytes(2, "")).find("no pieces"), std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[0].type = 1; }).find("no piece is of type UNKNOWN"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[4].type = 2; }).find("pieces 0 and 4"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[4].type = 7; }).find("piece 4 has type 7"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[4].text = "b"; }).find("'b' is there twice"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[4].text = ""; }).find("piece 4 is empty"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[4].text = "\xFF"; }).find("piece 4"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[4].text = std::string(2000, 'x'); }).find("2000 bytes"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[4].score = NAN; }).find("score of piece 4"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.pieces[4].type = 6; }).find("expected <0x00> to <0xFF>"),
            std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.byte_fallback = true; }).find("0 of 256"), std::string::npos);
  EXPECT_NE(error_of([](auto& b) { b.model_type = 3; }).find("model_type is 3"), std::string::npos);
  SentencepieceBuilder builder = small_sentencepiece();
  builder.charsmap = "\x10\0\0\0too short";
  EXPECT_NE(
      load({{"tokenizer.model", builder.build()}}).status().message().find("precompiled_charsmap"),
      std::string::npos);
  // A trie of one block and a replacement that is longer than any text's.
  builder.charsmap =
      std::string("\0\x04\0\0", 4) + std::string(1024, '\0') + std::string(2000, 'x') + '\0';
  EXPECT_NE(load({{"tokenizer.model", builder.build()}})
                .status()
                .message()
                .find("replacement of 2000 bytes"),
            std::string::npos);
}

// Rules "one byte -> replacement at this offset", as a double-array trie of one block.
std::string charsmap(const std::map<unsigned char, uint32_t>& rules, const std::string& replacements) {
  std::vector<uint32_t> units(256, 0);
  uint32_t value_at = 1;
  for (const auto& [byte, value] : rules) {
    units[byte] = byte | 1u << 8 | (byte ^ value_at) << 10;
    units[value_at++] = value;
  }
  std::string out("\0\x04\0\0", 4);
  out.append(reinterpret_cast<const char*>(units.data()), units.size() * sizeof(units[0]));
  return out + replacements;
}

TEST(Sentencepiece, CharsmapRulesReplaceWholeCharacters) {
  SentencepieceBuilder builder = small_sentencepiece();
  const auto ids = [&](const std::string& text) {
    auto tokenizer = load({{"tokenizer.model", builder.build()}});
    CHECK(tokenizer.ok(), "{}", tokenizer.status().message());
    return (*tokenizer)->encode(text);
  };
  for (const int model_type : {1, 2}) {
    builder.model_type = model_type;
    builder.charsmap.clear();
    const std::vector<int32_t> replaced = ids("abc"), untouched = ids("a\u00E9");
    // 'A' becomes "bc"; the first byte of U+00E9, alone, becomes "x"; 'c' becomes what begins within
    // the two bytes of U+00E9.
    const std::string replacements("bc\0x\0\xC3\xA9\0", 8);
    builder.charsmap = charsmap({{'A', 0}, {0xC3, 3}, {'c', 6}}, replacements);
    EXPECT_EQ(ids("aA"), replaced);
    EXPECT_EQ(ids("abc"), replaced);
    EXPECT_EQ(ids("a\u00E9"), untouched);
  }
  builder.charsmap = charsmap({{'A', 0}}, std::string("\xF0\0", 2));
  EXPECT_NE(load({{"tokenizer.model", builder.build()}}).status().message().find("no UTF-8"),
            std::string::npos);
}

// Every truncation and many mutations load or say why not; what loads encodes and decodes.
TEST(Sentencepiece, DamagedFilesAreRefusedOrHarmless) {
  SentencepieceBuilder builder = small_sentencepiece();
  builder.remove_extra_whitespaces = true;
  builder.charsmap = charsmap({{'a', 0}, {'c', 2}, {0xC3, 0}}, std::string("x\0\u00E9\0", 5));
  for (const int model_type : {1, 2}) {
    builder.model_type = model_type;
    const std::string good = builder.build();
    for (uint64_t seed = 0; seed < 600; ++seed) {
      std::string bytes = good;
      const size_t at = hash_random(seed, 1) % bytes.size();
      switch (seed % 4) {
        case 0: bytes.resize(at); break;
        case 1: bytes[at] = static_cast<char>(hash_random(seed, 2)); break;
        case 2: bytes.erase(at, 1 + seed % 7); break;
        default: bytes.insert(at, bytes.substr(hash_random(seed, 3) % bytes.size(), 9));
      }
      const auto loaded = load({{"tokenizer.model", bytes}});
      if (!loaded.ok()) {
        EXPECT_NE(loaded.status().message().find("tokenizer.model"), std::string::npos);
        continue;
      }
      (*loaded)->decode((*loaded)->encode("ab  cé[U]<s>\xFF \n"));
    }
  }
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k)
      out += i + k <= bytes.size() ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

// The 256 bytes, "he", "hel", and the two bytes that begin a kind of emoji.
std::string small_ranks() {
  std::string out;
  for (int byte = 0; byte < 256; ++byte)
    out += base64(std::string(1, static_cast<char>(byte))) + fmt::format(" {}\n", byte);
  return out + base64("he") + " 256\n" + base64("hel") + " 257\r\n" + base64("\xF0\x9F") +
         " 258\n\n";
}

TEST(Tiktoken, QwenIsKnownByItsName) {
  const auto loaded = load({{"qwen.tiktoken", small_ranks()}});
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  const Tokenizer& t = **loaded;
  EXPECT_EQ(t.encode("hehel"), (Ids{256, 257}));
  EXPECT_EQ(t.encode("\U0001F600"), (Ids{258, 0x98, 0x80})) << "a piece may end inside a character";
  EXPECT_EQ(t.encode("h<|im_end|>12"), (Ids{'h', 151645, '1', '2'}));
  EXPECT_EQ(t.encode("<|extra_204|>"), Ids{151850});
  EXPECT_EQ(t.encode("e\u0301"), (Ids{0xC3, 0xA9})) << "brought to NFC";
  EXPECT_EQ(t.decode(Ids{258, 0x98, 0x80, 151645}), "\U0001F600");
  EXPECT_EQ(t.piece(256), "he");
  EXPECT_EQ(t.piece(' '), "Ġ");
  EXPECT_EQ(t.eos_id(), 151643);
  EXPECT_EQ(t.end_ids(), (Ids{151643, 151645}));
}

TEST(Tiktoken, Glm4PutsItsPrefixBeforeEveryText) {
  const auto loaded = load(
      {{"tokenizer.model", small_ranks()},
       {"tokenizer_config.json", R"({"tokenizer_class": "ChatGLM4Tokenizer", "added_tokens_decoder":
      {"300": {"content": "[gMASK]", "special": true}, "301": {"content": "<sop>", "special": true}}})"}});
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ((*loaded)->encode("he"), (Ids{300, 301, 256}));
  EXPECT_EQ((*loaded)->encode("<|user|>12", kPlain), (Ids{151336, '1', '2'}));
}

TEST(Tiktoken, ErrorsSayWhatIsWrong) {
  const auto error = [](std::string ranks, const char* name = "qwen.tiktoken") {
    const auto loaded = load({{name, ranks}});
    return loaded.ok() ? std::string("no error") : loaded.status().message();
  };
  EXPECT_NE(error(small_ranks(), "tokenizer.model").find("its 259 ranks are of no family"),
            std::string::npos);
  EXPECT_NE(error(small_ranks(), "tokenizer.model").find("Llama 3 (128000)"), std::string::npos);
  EXPECT_NE(error(small_ranks() + "aGU= 259\n").find("'he' is there twice"), std::string::npos);
  EXPECT_NE(error(small_ranks() + "aGVo 5\n").find("rank 5 is there twice"), std::string::npos);
  EXPECT_NE(error(small_ranks() + "aGVo 16000000\n").find("out of proportion"), std::string::npos);
  EXPECT_NE(error(small_ranks() + "aGVo\n").find("'aGVo'; expected a base64 piece"),
            std::string::npos);
  EXPECT_NE(error(small_ranks() + "aG!o 300\n").find("line 261"), std::string::npos);
  EXPECT_NE(error(small_ranks() + "aGVo -1\n").find("expected a base64"), std::string::npos);
  EXPECT_NE(error("IQ== 0\n").find("the byte 0x00 is no piece"), std::string::npos);
}

TEST(Tokenizer, ADirectoryWithoutAVocabularySaysSo) {
  const auto error = [](const std::vector<std::pair<std::string, std::string>>& files) {
    return load(files).status().message();
  };
  EXPECT_NE(error({{"config.json", "{}"}}).find("no tokenizer.json, tokenizer.model or *.tiktoken"),
            std::string::npos);
  EXPECT_NE(error({{"tokenizer_config.json", R"({"tokenizer_class": "TiktokenTokenizerWrapper"})"}})
                .find("cl100k_base.tiktoken"),
            std::string::npos);
  EXPECT_NE(error({{"tokenizer.model", "version https://git-lfs.github.com/spec/v1\n"}})
                .find("git-lfs pointer"),
            std::string::npos);
  EXPECT_NE(error({{"tokenizer.model", small_sentencepiece().build()},
                   {"tokenizer_config.json", R"({"legacy": 3})"}})
                .find("'legacy'"),
            std::string::npos);
  EXPECT_NE(error({{"tokenizer.model", small_sentencepiece().build()},
                   {"tokenizer_config.json",
                    R"({"added_tokens_decoder": {"9000000": {"content": "x"}}})"}})
                .find("9000000"),
            std::string::npos);
}

}  // namespace
}  // namespace lmdeploy
