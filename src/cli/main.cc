#include "cli/program.h"

int main(int argc, char** argv) {
  using namespace lmdeploy::cli;
  Command root =
      Command::root("lmdeploy", "Compress, deploy and serve large language models.", kVersion);
  add_chat(root);
  add_serve(root);
  add_list(root);
  add_check_env(root);
  add_debug(root);
  add_bench(root);
  root.not_in_this_version("convert",
                           "models load from a Hugging Face directory or a GGUF file as they are");
  root.not_in_this_version("lite", "use a checkpoint that is quantized already (GGUF)");
  return root.parse_and_run(argc, argv);
}
