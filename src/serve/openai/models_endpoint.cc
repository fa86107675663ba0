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

std::string model_list(const ServeContext& context, int64_t created) {
  std::string out;
  JsonWriter json(out);
  json.open('{').field("object", "list").key("data").open('[').open('{');
  json.field("id", context.model_name).field("object", "model").field("created", created);
  json.field("owned_by", "lmdeploy").field("root", context.model_name).key("parent").null();
  json.field("max_model_len", context.host.facts().session_len);
  json.key("permission").open('[');
  write_permission(json, created);
  json.close(']').close('}').close(']').close('}');
  return out;
}

}  // namespace

void add_models_endpoint(Router& router, ServeContext& context) {
  router.add("GET", "/v1/models",
             [&context, created = unix_seconds()](Request, ResponseWriter response) {
               response.send_json(200, model_list(context, created));
             });
}

}  // namespace lmdeploy
