// lmdeploy serve api_server: the OpenAI-compatible server.

#include <csignal>
#include <cstdio>
#include <string>

#include "cli/compat_options.h"
#include "cli/interrupt.h"
#include "cli/program.h"
#include "serve/api_server.h"

namespace lmdeploy::cli {

namespace {

struct ApiServerCommand {
  std::string model;
  std::string chat_template;
  ServerSettings server;
  EngineOptions engine;
  ModelCompatOptions model_compat;
  ServerCompatOptions server_compat;
  LogOptions log;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "chat-template",
           .help = "a built-in name (see 'lmdeploy list'), a .json or .jinja file, or JSON text; "
                   "empty takes the model's own",
           .value_name = "T"},
          self.chat_template);
  }
};

int api_server(const ApiServerCommand& command) {
  std::signal(SIGPIPE, SIG_IGN);  // a client that went away is an error of the write
  const Result<Logger> logger = make_logger(command.log);
  if (!logger.ok()) return report_failure(logger.status());
  for (const Status& status : {check_compat_options(command.model_compat, *logger),
                               check_compat_options(command.server_compat, *logger)}) {
    if (!status.ok()) return report_failure(status);
  }
  Result<std::unique_ptr<ApiServer>> server = ApiServer::start(
      command.model, command.engine, command.chat_template, command.server, *logger);
  if (!server.ok()) return report_failure(server.status());
  // While the model loads a signal simply ends the program.
  InterruptGuard interrupts(/*terminate_too=*/true);
  std::printf("%s is served at %s/v1\n", (*server)->model_name().c_str(), (*server)->url().c_str());
  std::fflush(stdout);
  interrupts.wait();
  // A second signal while draining ends the program at once.
  interrupts.release();
  std::fprintf(stderr, "shutting down; answers under way have %.0f s\n",
               command.server.drain_seconds);
  // Both came before the line above: at once.
  const double seconds = interrupts.count() > 1 ? 0 : command.server.drain_seconds;
  const bool drained = (*server)->stop(seconds);
  return drained ? kExitOk : kExitFailed;
}

}  // namespace

void add_serve(Command& root) {
  Command serve = root.subcommand("serve", "Serve a model over HTTP.");
  Command command = serve.subcommand("api_server", "Serve the OpenAI-compatible API.");
  auto options = std::make_shared<ApiServerCommand>();
  command.positional("model_path", kModelHelp, options->model);
  command.options(*options);
  command.options(options->server);
  command.options(options->engine);
  command.options(options->model_compat);
  command.options(options->server_compat);
  command.options(options->log);
  command.run([options] { return api_server(*options); });
  serve.not_in_this_version("gradio", "use 'serve api_server' and any OpenAI client, or 'chat'");
  serve.not_in_this_version("api_client", "use 'chat', or any OpenAI client");
  serve.not_in_this_version("triton_client", "use 'chat', or any OpenAI client");
  serve.not_in_this_version("proxy", "put any HTTP load balancer before several servers");
}

}  // namespace lmdeploy::cli
