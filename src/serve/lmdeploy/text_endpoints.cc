#include "serve/lmdeploy/text_endpoints.h"

#include <cmath>
#include <limits>

#include "serve/generation.h"
#include "serve/json_writer.h"

namespace lmdeploy {

namespace {

constexpr size_t kMostInputs = 1024;

struct EncodeRequest {
  std::vector<std::string> inputs;
  bool is_list = false;
  bool do_preprocess = false;  // as the only user turn of a conversation
  bool add_bos = true;
};

EncodeRequest read_encode_request(FieldReader& fields) {
  EncodeRequest out;
  const json::value* input = fields.value("input");
  if (input == nullptr)
    fields.fail("input", "'input' is missing; send a string or a list of strings");
  out.is_list = input != nullptr && input->is_array();
  out.inputs = fields.strings("input", kMostInputs, std::numeric_limits<size_t>::max());
  out.do_preprocess = fields.boolean("do_preprocess").value_or(false);
  out.add_bos = fields.boolean("add_bos").value_or(true);
  fields.ignore("model");
  return out;
}

Result<std::vector<int32_t>> encode_one(const ServeContext& context, const EncodeRequest& request,
                                        const std::string& text) {
  if (!request.do_preprocess) return context.host.encode(text, request.add_bos);
  ChatInput input;
  input.messages.push_back(json::object{{"role", "user"}, {"content", text}});
  return context.encode_chat(std::move(input));
}

void answer_encode(ServeContext& context, const json::object& body,
                   const ResponseWriter& response) {
  FieldReader fields(body);
  const EncodeRequest request = read_encode_request(fields);
  if (!fields.ok()) return send_error(response, fields.error());
  context.log_unknown_fields(fields, "/v1/encode");
  std::string ids_text, lengths_text;
  JsonWriter ids(ids_text), lengths(lengths_text);
  for (const std::string& text : request.inputs) {
    const auto encoded = encode_one(context, request, text);
    if (!encoded.ok()) return send_error(response, to_api_error(encoded.status()));
    ids.open('[');
    for (const int32_t id : *encoded) ids.integer(id);
    ids.close(']');
    lengths.integer(static_cast<int64_t>(encoded->size()));
  }
  std::string out;
  JsonWriter json(out);
  json.open('{').key("input_ids");
  json.raw(request.is_list ? "[" + ids_text + "]" : ids_text).key("length");
  json.raw(request.is_list ? "[" + lengths_text + "]" : lengths_text).close('}');
  response.send_json(200, std::move(out));
}

// Perplexity from the logprobs of a prompt's tokens; the first has none.
class PerplexityReply final : public OutputHandler {
 public:
  explicit PerplexityReply(ResponseWriter response) : response_(std::move(response)) {}

  void on_start() override {}
  void on_output(size_t, GenerateOutput&& output) override {
    for (const TokenOutput& token : output.prompt_logprobs) {
      if (std::isnan(token.logprob)) continue;
      sum_ += token.logprob;
      ++count_;
    }
    if (output.finish == FinishReason::kError) error_ = output.error;
  }
  void on_end() override {
    if (count_ == 0) {
      return send_error(response_,
                        {500, error_.empty() ? "the prompt could not be scored" : error_});
    }
    const double cross_entropy = -sum_ / static_cast<double>(count_);
    std::string out;
    JsonWriter json(out);
    json.open('{').key("ppl").number(std::exp(cross_entropy));
    json.key("cross_entropy").number(cross_entropy).field("tokens", count_).close('}');
    response_.send_json(200, std::move(out));
  }

 private:
  const ResponseWriter response_;
  double sum_ = 0;
  int64_t count_ = 0;
  std::string error_;
};

std::vector<int32_t> read_scored_prompt(FieldReader& fields, const ModelHost& host) {
  const json::value* input = fields.value("input");
  if (input == nullptr) {
    fields.fail("input", "'input' is missing; send a string or a list of token ids");
    return {};
  }
  fields.ignore("model");
  if (input->is_string()) {
    Result<std::vector<int32_t>> ids = host.encode_prompt(*fields.string("input"));
    if (ids.ok()) return std::move(*ids);
    fields.fail("input", ids.status().message());
    return {};
  }
  return fields.token_ids("input", std::numeric_limits<size_t>::max(), host.facts().vocab_size);
}

void answer_perplexity(ServeContext& context, const Request& request, const json::object& body,
                       const ResponseWriter& response) {
  FieldReader fields(body);
  GenerateRequest generate;
  generate.prompt = read_scored_prompt(fields, context.host);
  if (fields.ok() && generate.prompt.size() < 2) {
    fields.fail("input",
                "'input' has fewer than two tokens; a perplexity needs one that follows another");
  }
  if (!fields.ok()) return send_error(response, fields.error());
  context.log_unknown_fields(fields, "/get_ppl");
  generate.id = "ppl-" + random_token(12);
  generate.tenant = context.keys.tenant(request.headers.find("Authorization"));
  generate.prompt_logprobs = true;
  generate.sampling.greedy = true;
  generate.sampling.logprobs = 0;
  generate.sampling.max_new_tokens = 0;
  std::vector<GenerateRequest> requests;
  requests.push_back(std::move(generate));
  Generation::run(context, std::move(requests), response,
                  std::make_unique<PerplexityReply>(response));
}

}  // namespace

void add_text_endpoints(Router& router, ServeContext& context) {
  router.add("POST", "/v1/encode",
             json_handler(context, [&context](const Request&, const json::object& body,
                                              const ResponseWriter& response) {
               answer_encode(context, body, response);
             }));
  router.add("POST", "/get_ppl",
             json_handler(context, [&context](const Request& request, const json::object& body,
                                              const ResponseWriter& response) {
               answer_perplexity(context, request, body, response);
             }));
}

}  // namespace lmdeploy
