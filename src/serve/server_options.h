// ServerSettings: the flags of `lmdeploy serve api_server` that are not the engine's.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"

namespace lmdeploy {

struct ServerSettings {
  std::string server_name = "0.0.0.0";
  int server_port = 23333;
  std::string model_name;
  std::string meta_instruction;
  std::string cap = "chat";
  std::vector<std::string> api_keys;
  std::vector<std::string> allow_origins = {"*"};
  std::vector<std::string> allow_methods = {"*"};
  std::vector<std::string> allow_headers = {"*"};
  bool allow_credentials = false;
  bool ssl = false;
  int max_concurrent_requests = 0;
  bool disable_metrics = false;
  int max_connections = 4096;
  int max_body_mib = 16;
  double drain_seconds = 30;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "server-name",
           .help = "address to listen on",
           .value_name = "HOST",
           .group = "Server"},
          self.server_name);
    visit({.name = "server-port",
           .help = "port to listen on; 0 takes a free one",
           .value_name = "PORT",
           .group = "Server"},
          self.server_port);
    visit({.name = "model-name",
           .help = "name that requests give the model; empty takes the model's path",
           .value_name = "NAME",
           .group = "Server"},
          self.model_name);
    visit({.name = "meta-instruction",
           .help = "system prompt of conversations that bring none; empty takes the template's own",
           .value_name = "TEXT",
           .group = "Server"},
          self.meta_instruction);
    visit({.name = "cap",
           .help = "what becomes of messages: chat applies the chat template; completion and python "
                   "give the model their text as it is; infilling puts Code Llama's marks around "
                   "the one <FILL> in it",
           .choices = {"chat", "completion", "infilling", "python"},
           .group = "Server"},
          self.cap);
    visit({.name = "api-keys",
           .help = "bearer tokens that open every route but /health",
           .value_name = "KEY",
           .group = "Server"},
          self.api_keys);
    visit({.name = "allow-origins",
           .help = "browser origins that may call the server",
           .value_name = "ORIGIN",
           .group = "Server"},
          self.allow_origins);
    visit({.name = "allow-methods",
           .help = "methods that browsers may use",
           .value_name = "METHOD",
           .group = "Server"},
          self.allow_methods);
    visit({.name = "allow-headers",
           .help = "headers that browsers may send",
           .value_name = "HEADER",
           .group = "Server"},
          self.allow_headers);
    visit({.name = "allow-credentials",
           .help = "let browsers send cookies and credentials",
           .group = "Server"},
          self.allow_credentials);
    visit({.name = "ssl",
           .help = "serve HTTPS with the files named by SSL_CERTFILE and SSL_KEYFILE",
           .group = "Server"},
          self.ssl);
    visit({.name = "max-concurrent-requests",
           .help = "requests under way at once before new ones get 429; "
                   "0 leaves it to the queue",
           .value_name = "N",
           .group = "Server"},
          self.max_concurrent_requests);
    visit({.name = "disable-metrics", .help = "no /metrics", .group = "Server"},
          self.disable_metrics);
    visit({.name = "max-connections",
           .help = "open connections before new ones get 503",
           .value_name = "N",
           .group = "Server"},
          self.max_connections);
    visit({.name = "max-body-mib",
           .help = "largest request body in MiB",
           .value_name = "MIB",
           .group = "Server"},
          self.max_body_mib);
    visit({.name = "drain-seconds",
           .help = "time that answers under way get to finish after SIGTERM",
           .value_name = "SECONDS",
           .group = "Server"},
          self.drain_seconds);
  }
};

}  // namespace lmdeploy
