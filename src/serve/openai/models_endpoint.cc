#include "serve/openai/models_endpoint.h"

#include "base/clock.h"
#include "serve/json_writer.h"

namespace lmdeploy {

namespace {

void write_permission(JsonWriter& json, int64_t created) {
  json.open('{').field("id", "modelperm-" + random_token(22)).field("object", "model_permission");
  json.field("created", created).key("allow_create_engine").boolean(false);
  json.key("allow_sampling").boolean(true).key("allow_logprobs").boolean(true);
  json.key("allow_search_indices").boolean(true).key("allow_view").boolean(true);
  json.key("allow_fine_tuning").boolean(false).field("organization", "*").key("group").null();
  json.key("is_blocking").boolean(false).close('}');
}

void write_model(JsonWriter& json, const ServeContext& context, int64_t created) {
  json.open('{').field("id", context.model_name).field("object", "model").field("created", created);
  json.field("owned_by", "lmdeploy").field("root", context.model_name).key("parent").null();
  json.field("max_model_len", context.host.facts().session_len);
  json.key("permission").open('[');
  write_permission(json, created);
  json.close(']').close('}');
}

void list_models(const ServeContext& context, int64_t created, const ResponseWriter& response) {
  std::string out;
  JsonWriter json(out);
  json.open('{').field("object", "list").key("data").open('[');
  write_model(json, context, created);
  json.close(']').close('}');
  response.send_json(200, std::move(out));
}

constexpr std::string_view kPath = "/v1/models";

// A model's name may hold slashes, which clients encode or not.
void show_model(const ServeContext& context, int64_t created, const Request& request,
                const ResponseWriter& response) {
  const std::string name = percent_decoded(request.path().substr(kPath.size() + 1));
  if (!check_model(context, name, response)) return;
  std::string out;
  JsonWriter json(out);
  write_model(json, context, created);
  response.send_json(200, std::move(out));
}

}  // namespace

void add_models_endpoint(Router& router, ServeContext& context) {
  const int64_t created = unix_seconds();
  router.add("GET", kPath, [&context, created](Request, ResponseWriter response) {
    list_models(context, created, response);
  });
  router.add("GET", std::string(kPath) + "/",
             [&context, created](Request request, ResponseWriter response) {
               show_model(context, created, request, response);
             });
}

}  // namespace lmdeploy
