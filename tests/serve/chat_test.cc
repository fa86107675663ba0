// POST /v1/chat/completions over a scripted model.
#include "tests/serve/server_fixture.h"

namespace lmdeploy {
namespace {

constexpr std::string_view kChat = "/v1/chat/completions";

TEST_F(ApiServerTest, WholeChatAnswer) {
  start();
  const json::value answer = ask(kChat, chat_body());
  EXPECT_TRUE(answer.at("id").as_string().starts_with("chatcmpl-"));
  EXPECT_EQ(answer.at("object"), "chat.completion");
  EXPECT_EQ(answer.at("model"), "m");
  const json::value& choice = answer.at("choices").at(0);
  EXPECT_EQ(choice.at("index"), 0);
  EXPECT_EQ(choice.at("message"),
            (json::object{{"role", "assistant"}, {"content", "Hello, w\xC3\xB6rld!"}}));
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_TRUE(choice.at("logprobs").is_null());
  const int64_t prompt = std::string("<user>hi<assistant>").size() + 1;
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), prompt);
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 14);
  EXPECT_EQ(answer.at("usage").at("total_tokens"), prompt + 14);
  EXPECT_EQ(answer.at("usage").at("prompt_tokens_details").at("cached_tokens"), 3);
}

TEST_F(ApiServerTest, StreamedChatAnswer) {
  start();
  const auto events =
      stream(kChat, chat_body(R"("stream":true,"stream_options":{"include_usage":true})"));
  ASSERT_GE(events.size(), 4u);
  std::string text;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    EXPECT_EQ(events[i].at("object"), "chat.completion.chunk");
    EXPECT_EQ(events[i].at("id"), events[0].at("id"));
    EXPECT_TRUE(events[i].at("usage").is_null());
    const json::object& delta = events[i].at("choices").at(0).at("delta").as_object();
    EXPECT_EQ(delta.contains("role"), i == 0);
    text += std::string(delta.at("content").as_string());
    const bool last = i + 2 == events.size();
    EXPECT_EQ(events[i].at("choices").at(0).at("finish_reason"),
              last ? json::value("stop") : json::value());
  }
  EXPECT_EQ(text, "Hello, w\xC3\xB6rld!");
  EXPECT_TRUE(events.back().at("choices").as_array().empty());
  EXPECT_EQ(events.back().at("usage").at("completion_tokens"), 14);
  for (const json::value& event : stream(kChat, chat_body(R"("stream":true)"))) {
    EXPECT_FALSE(event.as_object().contains("usage"));
  }
}

TEST_F(ApiServerTest, SeveralChoices) {
  start();
  const json::value answer = ask(kChat, chat_body(R"("n":3,"max_tokens":5)"));
  ASSERT_EQ(answer.at("choices").as_array().size(), 3u);
  for (int64_t i = 0; i < 3; ++i) {
    const json::value& choice = answer.at("choices").as_array()[static_cast<size_t>(i)];
    EXPECT_EQ(choice.at("index"), i);
    EXPECT_EQ(choice.at("message").at("content"), "Hello");
    EXPECT_EQ(choice.at("finish_reason"), "length");
  }
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 15);
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), 20);
  std::map<int64_t, std::string> texts;
  for (const json::value& event :
       stream(kChat, chat_body(R"("n":3,"max_tokens":5,"stream":true)"))) {
    const json::value& choice = event.at("choices").at(0);
    texts[choice.at("index").as_int64()] +=
        std::string(choice.at("delta").at("content").as_string());
  }
  EXPECT_EQ(texts, (std::map<int64_t, std::string>{{0, "Hello"}, {1, "Hello"}, {2, "Hello"}}));
}

TEST_F(ApiServerTest, ChatLogprobs) {
  auto host = std::make_unique<FakeHost>();
  host->script = "a\xC3\xB6";
  start(std::move(host));
  const json::value answer = ask(kChat, chat_body(R"("logprobs":true,"top_logprobs":2)"));
  const json::array& content = answer.at("choices").at(0).at("logprobs").at("content").as_array();
  ASSERT_EQ(content.size(), 3u);
  EXPECT_EQ(content[0].at("token"), "a");
  EXPECT_EQ(content[0].at("bytes"), (json::array{97}));
  EXPECT_EQ(content[0].at("logprob"), -0.5);
  EXPECT_EQ(content[1].at("bytes"), (json::array{0xC3}));
  ASSERT_EQ(content[0].at("top_logprobs").as_array().size(), 2u);
  EXPECT_EQ(content[0].at("top_logprobs").at(1).at("token"), "b");
  EXPECT_EQ(content[0].at("top_logprobs").at(1).at("logprob"), -1.5);
  EXPECT_EQ(ask(kChat, chat_body(R"("logprobs":true)"))
                .at("choices")
                .at(0)
                .at("logprobs")
                .at("content")
                .at(0)
                .at("top_logprobs")
                .as_array()
                .size(),
            0u);
}

TEST_F(ApiServerTest, ChatFieldsReachTheEngine) {
  start();
  ask(kChat,
      chat_body(R"("temperature":0,"top_p":0.5,"top_k":7,"min_p":0.1,"repetition_penalty":1.2,
      "presence_penalty":-1,"frequency_penalty":0.25,"seed":-1,"stop":["x","yz"],"stop_token_ids":[3],
      "bad_words":["no","not so"],"bad_token_ids":[7,8],
      "ignore_eos":true,"skip_special_tokens":false,"include_stop_str_in_output":true,"min_new_tokens":2,
      "max_tokens":9,"max_completion_tokens":4,"logit_bias":{"5":-200,"6":1.5},"user":"u","session_id":4)"));
  const GenerateRequest request = host_->last_request();
  const SamplingParams& s = request.sampling;
  EXPECT_TRUE(s.greedy);
  EXPECT_EQ(s.top_p, 0.5);
  EXPECT_EQ(s.top_k, 7);
  EXPECT_EQ(s.min_p, 0.1);
  EXPECT_EQ(s.repetition_penalty, 1.2);
  EXPECT_EQ(s.presence_penalty, -1);
  EXPECT_EQ(s.frequency_penalty, 0.25);
  EXPECT_EQ(s.seed, static_cast<uint64_t>(-1));
  EXPECT_EQ(s.stop, (std::vector<std::string>{"x", "yz", "<turn>"}));
  EXPECT_EQ(s.stop_token_ids, std::vector<int32_t>{3});
  EXPECT_EQ(s.bad_words, (std::vector<std::string>{"no", "not so"}));
  EXPECT_EQ(s.bad_token_ids, (std::vector<int32_t>{7, 8}));
  EXPECT_TRUE(s.ignore_eos);
  EXPECT_FALSE(s.skip_special_tokens);
  EXPECT_TRUE(s.include_stop);
  EXPECT_EQ(s.min_new_tokens, 2);
  EXPECT_EQ(s.max_new_tokens, 4);
  ASSERT_EQ(s.logit_bias.size(), 2u);
  EXPECT_EQ(s.logit_bias[0].bias, -100);
  EXPECT_TRUE(request.id.starts_with("chatcmpl-"));
}

TEST_F(ApiServerTest, SilentFieldsTakeTheModelsDefaults) {
  auto host = std::make_unique<FakeHost>();
  host->facts_.sampling_defaults.top_p = 0.9;
  host->facts_.sampling_defaults.top_k = 20;
  start(std::move(host));
  ask(kChat, chat_body(R"("temperature":null,"max_tokens":null)"));
  const SamplingParams s = host_->last_request().sampling;
  EXPECT_EQ(s.temperature, 0.7);
  EXPECT_EQ(s.top_p, 0.9);
  EXPECT_EQ(s.top_k, 20);
  EXPECT_FALSE(s.max_new_tokens.has_value());
}

TEST_F(ApiServerTest, MessagesInTheirForms) {
  start();
  ask(kChat, R"({"model":"m","messages":"raw text"})");
  EXPECT_EQ(host_->last_request().prompt, host_->encode("raw text", true));
  EXPECT_TRUE(host_->last_request().sampling.stop.empty());
  ask(kChat,
      R"({"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"be"}]})");
  EXPECT_EQ(host_->last_request().prompt, host_->encode("<user>a<assistant>be", true));
  ask(kChat,
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]})");
  ask(kChat, R"({"model":"m","messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},
      {"role":"tool","content":"1"}]})");
}

TEST_F(ApiServerTest, MetaInstructionIsTheSystemPromptOfThoseWithout) {
  ServerSettings settings;
  settings.meta_instruction = "Be brief.";
  start(std::make_unique<FakeHost>(), settings);
  ask(kChat, chat_body());
  EXPECT_EQ(host_->last_request().prompt, host_->encode("<system>Be brief.<user>hi<assistant>", true));
  ask(kChat, R"({"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"a"}]})");
  EXPECT_EQ(host_->last_request().prompt, host_->encode("<system>S<user>a<assistant>", true));
  EXPECT_EQ(ask("/v1/encode", R"({"input":"h","do_preprocess":true})").at("length"),
            1 + 8 + 9 + 6 + 1 + 11);
}

TEST_F(ApiServerTest, ChatRejections) {
  start();
  const struct {
    const char* more;
    const char* param;
  } cases[] = {
      {R"("n":0)", "n"},
      {R"("n":129)", "n"},
      {R"("n":1.5)", "n"},
      {R"("n":"two")", "n"},
      {R"("top_p":0)", "top_p"},
      {R"("top_p":1.1)", "top_p"},
      {R"("top_k":-1)", "top_k"},
      {R"("temperature":-0.1)", "temperature"},
      {R"("temperature":2.1)", "temperature"},
      {R"("temperature":"hot")", "temperature"},
      {R"("min_p":2)", "min_p"},
      {R"("repetition_penalty":0)", "repetition_penalty"},
      {R"("presence_penalty":3)", "presence_penalty"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_tokens":1e300)", "max_tokens"},
      {R"("seed":1e30)", "seed"},
      {R"("stop":[1])", "stop"},
      {R"("logit_bias":{"999":1})", "logit_bias"},
      {R"("logit_bias":{"x":1})", "logit_bias"},
      {R"("logit_bias":{"1":"a"})", "logit_bias"},
      {R"("logprobs":2)", "logprobs"},
      {R"("top_logprobs":3)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("stop_token_ids":[300])", "stop_token_ids"},
      {R"("bad_words":[7])", "bad_words"},
      {R"("bad_token_ids":[300])", "bad_token_ids"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}])", "tools"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("functions":[{}])", "functions"},
      {R"("response_format":{"type":"json_object"})", "response_format"},
      {R"("spaces_between_special_tokens":false)", "spaces_between_special_tokens"},
      {R"("repetition_ngram_size":3)", "repetition_ngram_size"},
      {R"("best_of":2)", "best_of"},
      {R"("do_preprocess":false)", "do_preprocess"},
      {R"("chat_template_kwargs":{"chat_template":"x"})", "chat_template_kwargs"},
      {R"("chat_template_kwargs":{"continue_final_message":true})", "chat_template_kwargs"},
  };
  for (const auto& test : cases) {
    const HttpReply reply = post(kChat, chat_body(test.more));
    EXPECT_EQ(reply.status, 400) << test.more;
    const json::value error = parsed(reply.body);
    EXPECT_EQ(error.at("error").at("param"), test.param) << reply.body;
    EXPECT_EQ(error.at("error").at("type"), "invalid_request_error");
    EXPECT_EQ(error.at("object"), "error");
    EXPECT_EQ(error.at("code"), 400);
  }
  std::string stops = "\"stop\":[";
  for (int i = 0; i < 33; ++i) stops += std::string(i ? "," : "") + "\"s\"";
  EXPECT_EQ(post(kChat, chat_body(stops + "]")).status, 400);
  EXPECT_EQ(post(kChat, chat_body("\"stop\":\"" + std::string(1025, 's') + "\"")).status, 400);
  EXPECT_EQ(host_->last_request().id, "");
}

TEST_F(ApiServerTest, DefaultsOfUnsupportedFieldsPass) {
  start();
  ask(kChat,
      chat_body(
          R"("tools":[],"tool_choice":"auto","response_format":{"type":"text"},"functions":null,
      "spaces_between_special_tokens":true,"repetition_ngram_size":0,"best_of":1,"modalities":["text"],
      "do_preprocess":true,"image_data":null)"));
  ask(kChat,
      chat_body(R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none")"));
}

TEST_F(ApiServerTest, BadMessages) {
  start();
  for (const char* messages :
       {"[]", "{}", "3", "\"\"", "[1]", "[{}]", R"([{"role":"user"}])",
        R"([{"role":1,"content":"a"}])", R"([{"role":"user","content":4}])",
        R"([{"role":"user","content":[{"type":"text"}]}])",
        R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])",
        R"([{"role":"rejected","content":"a"}])"}) {
    const HttpReply reply =
        post(kChat, R"({"model":"m","messages":)" + std::string(messages) + "}");
    EXPECT_EQ(reply.status, 400) << messages;
    EXPECT_FALSE(parsed(reply.body).at("error").at("message").as_string().empty());
  }
  EXPECT_EQ(post(kChat, R"({"model":"m"})").status, 400);
  EXPECT_EQ(post(kChat, R"({"messages":"a"})").status, 400);
}

TEST_F(ApiServerTest, FailuresOfTheEngine) {
  auto host = std::make_unique<FakeHost>();
  host->fail = true;
  start(std::move(host));
  const HttpReply whole = post(kChat, chat_body());
  EXPECT_EQ(whole.status, 500);
  EXPECT_EQ(parsed(whole.body).at("error").at("message"), "no finite logits");
  const auto events = stream(kChat, chat_body(R"("stream":true)"));
  EXPECT_EQ(events.back().at("error").at("message"), "no finite logits");
}

TEST_F(ApiServerTest, TokenIdsOnRequest) {
  auto host = std::make_unique<FakeHost>();
  host->script = "ab";
  start(std::move(host));
  const json::value answer = ask(kChat, chat_body(R"("return_token_ids":true)"));
  EXPECT_EQ(answer.at("choices").at(0).at("message").at("gen_tokens"), (json::array{97, 98}));
}

}  // namespace
}  // namespace lmdeploy
