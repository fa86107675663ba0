#include "cli/conversation.h"

#include <gtest/gtest.h>

#include "tests/checkpoint/temporary_directory.h"

namespace lmdeploy::cli {
namespace {

// An engine with random weights, a vocabulary of bytes and the plain-text template.
class ConversationTest : public ::testing::Test {
 protected:
  ConversationTest() {
    directory_.write("config.json", R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "vocab_size": 256, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 256, "torch_dtype": "float32"})");
    EngineOptions options;
    options.device = "cpu";
    options.load_format = "dummy";
    options.cpu_threads = 1;
    options.enable_prefix_caching = true;
    options.cache_block_seq_len = 32;
    auto engine = Engine::create(directory_.path(), options, R"({"user": "U", "assistant": "A"})",
                                 Logger(LogLevel::kError));
    CHECK(engine.ok(), "{}", engine.status().message());
    engine_ = std::move(*engine);
    sampling_.greedy = true;
    sampling_.max_new_tokens = 3;
  }

  Result<Conversation::Reply> ask(Conversation& conversation, std::string_view text) {
    shown_.clear();
    return conversation.ask(text, [&](std::string_view piece) { shown_ += piece; },
                            [&] { return interrupted_; });
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Engine> engine_;
  SamplingParams sampling_;
  std::string shown_;
  bool interrupted_ = false;
};

TEST_F(ConversationTest, LaterTurnsHoldTheEarlierOnes) {
  Conversation conversation(*engine_, sampling_, "", false);
  const auto first = ask(conversation, "hello");
  ASSERT_TRUE(first.ok()) << first.status().message();
  EXPECT_EQ(first->text, shown_);
  EXPECT_EQ(first->prompt_tokens, 7);  // UhelloA
  EXPECT_EQ(first->generated_tokens, 3);
  EXPECT_EQ(first->finish, FinishReason::kLength);
  EXPECT_GE(ask(conversation, "again")->prompt_tokens, 7 + 7);
  conversation.reset();
  EXPECT_EQ(ask(conversation, "hello")->prompt_tokens, 7);
}

TEST_F(ConversationTest, PlainTextsAreNotRemembered) {
  Conversation conversation(*engine_, sampling_, "", true);
  EXPECT_EQ(ask(conversation, "hello")->prompt_tokens, 7);
  EXPECT_EQ(ask(conversation, "hello")->prompt_tokens, 7);
}

TEST_F(ConversationTest, ARefusedTurnIsNotRemembered) {
  Conversation conversation(*engine_, sampling_, "", false);
  EXPECT_FALSE(ask(conversation, std::string(1000, 'x')).ok());
  EXPECT_EQ(ask(conversation, "hello")->prompt_tokens, 7);
}

TEST_F(ConversationTest, AnInterruptEndsTheAnswer) {
  sampling_.max_new_tokens = 200;
  Conversation conversation(*engine_, sampling_, "", false);
  interrupted_ = true;
  const auto reply = ask(conversation, "hello");
  ASSERT_TRUE(reply.ok());
  EXPECT_TRUE(reply->finish == FinishReason::kAbort || reply->generated_tokens == 200);
}

}  // namespace
}  // namespace lmdeploy::cli
