#include "serve/openai/chat_endpoint.h"

#include "serve/generation.h"
#include "serve/openai/chat_reply.h"
#include "serve/openai/chat_request.h"

namespace lmdeploy {

namespace {

constexpr std::string_view kPath = "/v1/chat/completions";

void answer_chat(ServeContext& context, const Request& request, const json::object& body,
                 const ResponseWriter& response) {
  FieldReader fields(body);
  ChatRequest chat = read_chat_request(fields, context.host.facts());
  if (!fields.ok()) return send_error(response, fields.error());
  context.log_unknown_fields(fields, kPath);
  if (!check_model(context, chat.reply.model, response)) return;

  Result<std::vector<int32_t>> prompt = chat.raw_prompt
                                            ? context.host.encode_prompt(*chat.raw_prompt)
                                            : context.encode_chat(std::move(chat.input));
  if (!prompt.ok()) return send_error(response, to_api_error(prompt.status()));
  const std::string id = "chatcmpl-" + random_token(24);
  GenerateRequest generate;
  generate.id = id;
  generate.prompt = std::move(*prompt);
  generate.tenant = context.keys.tenant(request.headers.find("Authorization"));
  const int n = chat.sampling.n;
  const bool logprobs = chat.sampling.logprobs >= 0;
  generate.sampling = std::move(chat.sampling);
  std::vector<GenerateRequest> requests;
  requests.push_back(std::move(generate));
  Generation::run(context, std::move(requests), response,
                  make_chat_reply(context.host, response, std::move(chat.reply), id, n, logprobs));
}

}  // namespace

void add_chat_endpoint(Router& router, ServeContext& context) {
  router.add("POST", kPath,
             json_handler(context, [&context](const Request& request, const json::object& body,
                                              const ResponseWriter& response) {
               answer_chat(context, request, body, response);
             }));
}

}  // namespace lmdeploy
