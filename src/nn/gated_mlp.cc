#include "nn/gated_mlp.h"

#include <array>

namespace lmdeploy {
namespace {

struct NamedActivation {
  std::string_view name;
  Activation activation;
};
constexpr std::array<NamedActivation, 6> kActivations = {{
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"gelu", Activation::kGelu},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
}};

std::vector<Projection> gate_and_up(const GatedMlpConfig& config) {
  std::vector<Projection> parts = {{config.names.gate, config.intermediate},
                                   {config.names.up, config.intermediate}};
  if (config.names.gate_up == nullptr) return parts;
  return stacked(config.names.gate_up, std::move(parts));
}

}  // namespace

std::optional<Activation> activation_named(std::string_view name) {
  for (const NamedActivation& entry : kActivations) {
    if (entry.name == name) return entry.activation;
  }
  return std::nullopt;
}

std::string known_activations() {
  std::string names;
  for (const NamedActivation& entry : kActivations) {
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  }
  return names;
}

GatedMlp::GatedMlp(const Weights& weights, const BuildOptions& options,
                   const GatedMlpConfig& config)
    : activation_(config.activation),
      gate_up_(weights, options, config.hidden, gate_and_up(config), Split::kRows, config.bias),
      down_(weights, options, config.intermediate, {{config.names.down, config.hidden}},
            Split::kColumns, config.bias) {}

void GatedMlp::forward(const Step& step, const TensorView& x, const TensorView& out,
                       MatmulEpilogue epilogue) const {
  gate_up_.forward_gated(step.ctx, x, activation_, down_, out, epilogue);
}

void GatedMlp::forward_part(const Step& step, const TensorView& x, const TensorView& out) const {
  gate_up_.forward_gated_part(step.ctx, x, activation_, down_, out);
}

}  // namespace lmdeploy
