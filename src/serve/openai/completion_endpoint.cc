#include "serve/openai/completion_endpoint.h"

#include "serve/generation.h"
#include "serve/openai/completion_reply.h"
#include "serve/openai/completion_request.h"

namespace lmdeploy {

namespace {

constexpr std::string_view kPath = "/v1/completions";

void answer_completion(ServeContext& context, const Request& request, const json::object& body,
                       const ResponseWriter& response) {
  FieldReader fields(body);
  CompletionRequest completion = read_completion_request(fields, context.host.facts());
  if (!fields.ok()) return send_error(response, fields.error());
  context.log_unknown_fields(fields, kPath);
  if (!check_model(context, completion.reply.model, response)) return;

  CompletionReplyOptions reply{.reply = std::move(completion.reply),
                               .id = "cmpl-" + random_token(24),
                               .n = completion.sampling.n,
                               .logprobs = completion.sampling.logprobs >= 0};
  GenerateRequest generate;
  generate.id = reply.id;
  generate.tenant = context.keys.tenant(request.headers.find("Authorization"));
  generate.sampling = std::move(completion.sampling);
  generate.prompt_logprobs = completion.echo && reply.logprobs;
  std::vector<GenerateRequest> requests;
  for (auto& prompt : completion.prompts) {
    requests.push_back(generate);
    if (auto* text = std::get_if<std::string>(&prompt)) {
      Result<std::vector<int32_t>> ids = context.host.encode_prompt(*text);
      if (!ids.ok()) return send_error(response, to_api_error(ids.status()));
      requests.back().prompt = std::move(*ids);
      if (completion.echo) reply.echo.push_back(std::move(*text));
    } else {
      requests.back().prompt = std::move(std::get<std::vector<int32_t>>(prompt));
      if (completion.echo) reply.echo.push_back(context.host.decode(requests.back().prompt));
    }
  }
  const size_t prompts = requests.size();
  Generation::run(context, std::move(requests), response,
                  make_completion_reply(context.host, response, prompts, std::move(reply)));
}

}  // namespace

void add_completion_endpoint(Router& router, ServeContext& context) {
  router.add("POST", kPath,
             json_handler(context, [&context](const Request& request, const json::object& body,
                                              const ResponseWriter& response) {
               answer_completion(context, request, body, response);
             }));
}

}  // namespace lmdeploy
