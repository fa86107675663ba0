// POST /v1/completions, /v1/encode and /get_ppl over a scripted model.
#include "serve/openai/reply_parts.h"
#include "tests/serve/server_fixture.h"

namespace lmdeploy {
namespace {

constexpr std::string_view kCompletions = "/v1/completions";

TEST_F(ApiServerTest, PromptsInTheirForms) {
  start();
  const json::value one = ask(kCompletions, R"({"model":"m","prompt":"ab"})");
  EXPECT_EQ(one.at("object"), "text_completion");
  EXPECT_TRUE(one.at("id").as_string().starts_with("cmpl-"));
  EXPECT_EQ(one.at("choices").at(0).at("text"), "Hello, w\xC3\xB6rld!");
  EXPECT_EQ(one.at("usage").at("prompt_tokens"), 3);
  EXPECT_EQ(host_->last_request().sampling.max_new_tokens, 16);
  ask(kCompletions, R"({"model":"m","prompt":"ab","max_tokens":null})");
  EXPECT_FALSE(host_->last_request().sampling.max_new_tokens.has_value());
  ask(kCompletions, R"({"model":"m","prompt":[1,2,3]})");
  EXPECT_EQ(host_->last_request().prompt, (std::vector<int32_t>{1, 2, 3}));

  const json::value several =
      ask(kCompletions, R"({"model":"m","prompt":["a","bcd",[5]],"n":2,"max_tokens":1})");
  const json::array& choices = several.at("choices").as_array();
  ASSERT_EQ(choices.size(), 6u);
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(choices[static_cast<size_t>(i)].at("index"), i);
  EXPECT_EQ(several.at("usage").at("prompt_tokens"), 2 + 4 + 1);
  EXPECT_EQ(several.at("usage").at("completion_tokens"), 6);
}

TEST_F(ApiServerTest, EchoAndLogprobs) {
  auto host = std::make_unique<FakeHost>();
  host->script = "xyz";
  start(std::move(host));
  const json::value answer = ask(
      kCompletions, R"({"model":"m","prompt":[104,105],"echo":true,"logprobs":1,"max_tokens":2})");
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("text"), "hixy");
  const json::value& logprobs = choice.at("logprobs");
  EXPECT_EQ(logprobs.at("tokens"), (json::array{"h", "i", "x", "y"}));
  EXPECT_EQ(logprobs.at("token_logprobs"), (json::array{nullptr, -0.5, -0.5, -0.5}));
  EXPECT_EQ(logprobs.at("text_offset"), (json::array{0, 1, 2, 3}));
  EXPECT_TRUE(logprobs.at("top_logprobs").at(0).is_null());
  EXPECT_EQ(logprobs.at("top_logprobs").at(2), (json::object{{"x", -0.5}}));

  const json::value scored =
      ask(kCompletions, R"({"model":"m","prompt":"hi","echo":true,"logprobs":0,"max_tokens":0})");
  EXPECT_EQ(scored.at("choices").at(0).at("text"), "hi");
  EXPECT_EQ(scored.at("choices").at(0).at("finish_reason"), "length");

  std::string text;
  std::vector<int64_t> offsets;
  for (const json::value& event : stream(
           kCompletions, R"({"model":"m","prompt":"hi","echo":true,"logprobs":1,"stream":true})")) {
    text += std::string(event.at("choices").at(0).at("text").as_string());
    for (const json::value& at :
         event.at("choices").at(0).at("logprobs").at("text_offset").as_array()) {
      offsets.push_back(at.as_int64());
    }
  }
  EXPECT_EQ(text, "hixyz");
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 0, 1, 2, 3, 4}));  // "<bos>" is not in the text
}

// The echo comes in front of each choice, whichever is first to have text.
TEST_F(ApiServerTest, StreamedEchoOfSeveralChoices) {
  for (const bool last_first : {false, true}) {
    auto host = std::make_unique<FakeHost>();
    host->script = "x\xC3\xB6z";
    host->last_choice_first = last_first;
    start(std::move(host));
    std::map<int64_t, std::string> texts;
    std::map<int64_t, json::array> tokens, offsets;
    for (const json::value& event :
         stream(kCompletions,
                R"({"model":"m","prompt":"hi","echo":true,"logprobs":2,"n":3,"stream":true,
                    "return_token_ids":true})")) {
      const json::value& choice = event.at("choices").at(0);
      const int64_t index = choice.at("index").as_int64();
      texts[index] += std::string(choice.at("text").as_string());
      const json::value& logprobs = choice.at("logprobs");
      for (const json::value& token : logprobs.at("tokens").as_array()) tokens[index].push_back(token);
      for (const json::value& at : logprobs.at("text_offset").as_array()) offsets[index].push_back(at);
      if (choice.at("text") == "hi") EXPECT_TRUE(choice.at("gen_tokens").as_array().empty());
    }
    for (int64_t index = 0; index < 3; ++index) {
      EXPECT_EQ(texts[index], "hix\xC3\xB6z");
      EXPECT_EQ(tokens[index],
                (json::array{"<bos>", "h", "i", "x", "bytes:\\xc3", "bytes:\\xb6", "z"}));
      EXPECT_EQ(offsets[index], (json::array{0, 0, 1, 2, 3, 3, 4}));
    }
    server_.reset();
  }
}

TEST(TextOffset, BytesBecomeCharacters) {
  TextOffset echoed("The \xF0\x9F\x98\x80!");
  EXPECT_EQ(echoed.advance("<s>"), 0);
  EXPECT_EQ(echoed.advance(" The"), 0);
  EXPECT_EQ(echoed.advance(" \xF0\x9F"), 3);
  EXPECT_EQ(echoed.advance("\x98"), 4);
  EXPECT_EQ(echoed.advance("\x80!"), 4);
  EXPECT_EQ(echoed.advance(" and"), 6);
  TextOffset damaged("");
  EXPECT_EQ(damaged.advance(" a\xFF"), 0);
  EXPECT_EQ(damaged.advance("\xE2\x82"), 3);
  EXPECT_EQ(damaged.advance("x"), 3);
}

TEST_F(ApiServerTest, StreamedCompletions) {
  start();
  std::map<int64_t, std::string> texts;
  std::map<int64_t, std::string> finishes;
  const auto events =
      stream(kCompletions, R"({"model":"m","prompt":["a","b"],"echo":true,"stream":true,
                                              "stream_options":{"include_usage":true}})");
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const json::value& choice = events[i].at("choices").at(0);
    texts[choice.at("index").as_int64()] += std::string(choice.at("text").as_string());
    if (choice.at("finish_reason").is_string()) {
      finishes[choice.at("index").as_int64()] +=
          std::string(choice.at("finish_reason").as_string());
    }
  }
  EXPECT_EQ(texts, (std::map<int64_t, std::string>{{0, "aHello, w\xC3\xB6rld!"},
                                                   {1, "bHello, w\xC3\xB6rld!"}}));
  EXPECT_EQ(finishes, (std::map<int64_t, std::string>{{0, "stop"}, {1, "stop"}}));
  EXPECT_EQ(events.back().at("usage").at("completion_tokens"), 28);
}

TEST_F(ApiServerTest, CompletionRejections) {
  start();
  for (const char* fields : {R"("prompt":[])", R"("prompt":{})", R"("prompt":[[1],"a",3])",
                             R"("prompt":[-1])", R"("prompt":[257])", R"("prompt":[1,"a"])",
                             R"("prompt":null)", R"("prompt":"a","suffix":"b")",
                             R"("prompt":"a","logprobs":true)", R"("prompt":"a","logprobs":21)",
                             R"("prompt":"a","max_tokens":0)", R"("prompt":"a","echo":"yes")",
                             R"("prompt":["a","a","a","a","a","a","a","a","a"],"n":128)"}) {
    EXPECT_EQ(post(kCompletions, R"({"model":"m",)" + std::string(fields) + "}").status, 400)
        << fields;
  }
  std::string many = R"({"model":"m","prompt":["a")";
  for (int i = 0; i < 256; ++i) many += ",\"a\"";
  EXPECT_EQ(post(kCompletions, many + "]}").status, 400);
}

TEST_F(ApiServerTest, PromptTooLongNamesBothNumbers) {
  start();
  const HttpReply reply =
      post(kCompletions, R"({"model":"m","prompt":")" + std::string(5000, 'a') + "\"}");
  EXPECT_EQ(reply.status, 400);
  EXPECT_NE(reply.body.find("5001"), std::string::npos);
  EXPECT_NE(reply.body.find("1000"), std::string::npos);
  for (const auto& [path, name] : {std::pair{kCompletions, "prompt"}, {"/get_ppl", "input"}}) {
    const HttpReply unread =
        post(path, R"({"model":"m",")" + std::string(name) + R"(":")" + std::string(20000, 'a') + "\"}");
    EXPECT_EQ(unread.status, 400);
    EXPECT_NE(unread.body.find("the prompt's 20000 bytes"), std::string::npos) << unread.body;
  }
}

TEST_F(ApiServerTest, OneRefusedPromptRefusesTheCall) {
  auto host = std::make_unique<FakeHost>();
  host->capacity = 2;
  host->token_delay = std::chrono::milliseconds(20);
  start(std::move(host));
  const HttpReply reply =
      post(kCompletions, R"({"model":"m","prompt":["a","b","c"],"stream":true})");
  EXPECT_EQ(reply.status, 429);
  EXPECT_NE(reply.headers.find("Retry-After"), nullptr);
  EXPECT_EQ(parsed(reply.body).at("error").at("code"), "queue_full");
  EXPECT_EQ(host_->running, 0);
  EXPECT_EQ(host_->last_request().prompt.size(), 0);
}

TEST_F(ApiServerTest, Encode) {
  start();
  EXPECT_EQ(ask("/v1/encode", R"({"input":"hi"})"),
            (json::object{{"input_ids", {256, 104, 105}}, {"length", 3}}));
  EXPECT_EQ(
      ask("/v1/encode", R"({"input":["h","hi"],"add_bos":false})"),
      (json::object{{"input_ids", {json::array{104}, json::array{104, 105}}}, {"length", {1, 2}}}));
  EXPECT_EQ(ask("/v1/encode", R"({"input":"h","do_preprocess":true})").at("length"),
            1 + 6 + 1 + 11);
  EXPECT_EQ(post("/v1/encode", R"({"input":3})").status, 400);
  EXPECT_EQ(post("/v1/encode", "{}").status, 400);
}

TEST_F(ApiServerTest, Perplexity) {
  start();
  const json::value answer = ask("/get_ppl", R"({"input":"hi"})");
  EXPECT_NEAR(answer.at("cross_entropy").to_number<double>(), 0.5, 1e-6);
  EXPECT_NEAR(answer.at("ppl").to_number<double>(), std::exp(0.5), 1e-6);
  EXPECT_EQ(answer.at("tokens"), 2);
  EXPECT_EQ(ask("/get_ppl", R"({"input":[1,2,3,4]})").at("tokens"), 3);
  EXPECT_EQ(post("/get_ppl", R"({"input":[1]})").status, 400);
  EXPECT_EQ(post("/get_ppl", R"({"input":{}})").status, 400);
}

}  // namespace
}  // namespace lmdeploy
