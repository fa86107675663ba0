// lmdeploy check_env: what a bug report needs to know of this machine and program.

#include <sys/utsname.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/thread_pool.h"
#include "cli/program.h"
#include "engine/host_memory.h"
#include "tensor/cpu/isa.h"
#include "tensor/device.h"

namespace lmdeploy::cli {

namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

struct CheckEnvOptions {
  std::string dump_file;
  bool json = false;

  template <class Visitor, class Self>
  static void describe(Visitor& visit, Self& self) {
    visit({.name = "dump-file",
           .help = "also write the facts to this file (.json or .yml)",
           .value_name = "PATH"},
          self.dump_file);
    visit({.name = "json", .help = "print one JSON object"}, self.json);
  }
};

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

Facts collect_facts() {
  utsname system{};
  uname(&system);
  std::string isas;
  for (const std::string& name : CpuIsa::available()) isas += (isas.empty() ? "" : " ") + name;
  const Result<CpuIsa> isa = CpuIsa::from_environment();
  const CudaProbe cuda = probe_cuda();
  return {
      {"LMDeploy", kVersion},
      {"Compiler", "g++ " __VERSION__},
      {"System", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
      {"CPU", cpu_model()},
      {"CPU cores usable", std::to_string(usable_cores())},
      {"CPU instruction sets", isas},
      {"CPU kernels", isa.ok() ? isa->name() : isa.status().message()},
      {"Memory available",
       fmt::format("{:.1f} GiB", static_cast<double>(host_memory().available) / (1 << 30))},
      {"CUDA built in", cuda.built_in ? "yes" : "no"},
      {"CUDA devices", fmt::format("{} ({})", cuda.devices, cuda.detail)},
  };
}

std::string as_lines(const Facts& facts) {
  std::string out;
  for (const auto& [key, value] : facts) out += key + ": " + value + "\n";
  return out;
}

std::string as_yaml(const Facts& facts) {
  std::string out;
  for (const auto& [key, value] : facts) {
    append_json_string(out, key);  // a JSON string is a YAML string
    out += ": ";
    append_json_string(out, value);
    out += "\n";
  }
  return out;
}

std::string as_json(const Facts& facts) {
  json::object object;
  for (const auto& [key, value] : facts) object[key] = value;
  return json::serialize(object) + "\n";
}

Status check_extension(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension();
  if (extension == ".json" || extension == ".yml" || extension == ".yaml") return {};
  return invalid_argument("--dump-file {} ends in '{}'; expected .json or .yml", path, extension);
}

Status dump(const Facts& facts, const std::string& path) {
  const std::filesystem::path file(path);
  std::error_code error;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), error);
  std::ofstream out(path);
  out << (file.extension() == ".json" ? as_json(facts) : as_yaml(facts));
  out.close();
  if (!out) return not_found("--dump-file {} cannot be written", path);
  return {};
}

int check_env(const CheckEnvOptions& options) {
  if (!options.dump_file.empty()) {
    const Status writable = check_extension(options.dump_file);
    if (!writable.ok()) return report_failure(writable);
  }
  const Facts facts = collect_facts();
  std::fputs((options.json ? as_json(facts) : as_lines(facts)).c_str(), stdout);
  if (options.dump_file.empty()) return kExitOk;
  const Status dumped = dump(facts, options.dump_file);
  return dumped.ok() ? kExitOk : report_failure(dumped);
}

}  // namespace

void add_check_env(Command& root) {
  Command command =
      root.subcommand("check_env", "Print what a bug report needs to know of this machine.");
  auto options = std::make_shared<CheckEnvOptions>();
  command.options(*options);
  command.run([options] { return check_env(*options); });
}

}  // namespace lmdeploy::cli
