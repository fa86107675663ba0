#include "nn/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>
#include <string_view>

namespace lmdeploy {

double yarn_mscale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

namespace {

struct NamedRopeType {
  std::string_view name;
  RopeType type;
};
constexpr std::array<NamedRopeType, 6> kRopeTypes = {{
    {"default", RopeType::kDefault},
    {"linear", RopeType::kLinear},
    {"dynamic", RopeType::kDynamic},
    {"llama3", RopeType::kLlama3},
    {"yarn", RopeType::kYarn},
    {"longrope", RopeType::kLongrope},
}};

std::optional<RopeType> rope_type_named(std::string_view name) {
  for (const NamedRopeType& entry : kRopeTypes) {
    if (entry.name == name) return entry.type;
  }
  return std::nullopt;
}

std::string known_rope_types() {
  std::string names;
  for (const NamedRopeType& entry : kRopeTypes) {
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  }
  return names;
}

std::vector<double> read_factors(ConfigReader& scaling, const char* key, int rotary_dim) {
  const json::array* values = scaling.optional_array(key);
  const size_t expected = static_cast<size_t>(rotary_dim / 2);
  std::vector<double> factors;
  if (values != nullptr) {
    for (const json::value& value : *values) {
      if (value.is_number()) factors.push_back(value.to_number<double>());
    }
  }
  const bool usable = std::all_of(factors.begin(), factors.end(), [](double f) {
    return f >= kLeastRopeFactor && f <= kLargestRopeFactor;
  });
  if (factors.size() != expected || !usable) {
    scaling.problem(fmt::format("{} must hold {} numbers (half the rotary dimension) from {} to {}",
                                key, expected, kLeastRopeFactor, kLargestRopeFactor));
    factors.assign(expected, 1.0);
  }
  return factors;
}

constexpr double kLargestScale = 1000.0;  // of cos and sin
constexpr int64_t kMaxPositions = int64_t{1} << 30;  // positions are int32

double default_attention_scale(ConfigReader& scaling, const RopeConfig& config) {
  if (config.type == RopeType::kYarn) {
    const double mscale = scaling.optional_double("mscale", 0.0, 0.0, kLargestScale);
    const double mscale_all = scaling.optional_double("mscale_all_dim", 0.0, 0.0, kLargestScale);
    if (mscale != 0.0 && mscale_all != 0.0) {
      return yarn_mscale(config.factor, mscale) / yarn_mscale(config.factor, mscale_all);
    }
    return yarn_mscale(config.factor, 1.0);
  }
  if (config.type == RopeType::kLongrope && config.factor > 1.0) {
    return std::sqrt(1.0 + std::log(config.factor) /
                               std::log(static_cast<double>(config.original_max_position)));
  }
  return 1.0;
}

int64_t read_original_positions(ConfigReader& scaling, const RopeConfig& config) {
  constexpr const char* kKey = "original_max_position_embeddings";
  const int64_t positions = scaling.optional_int(kKey, config.max_position);
  if (positions >= 2 && positions <= kMaxPositions) return positions;
  scaling.problem(fmt::format("'{}' is {}; expected 2 to {}", kKey, positions, kMaxPositions));
  return 2;
}

void read_llama3(ConfigReader& scaling, RopeConfig& config) {
  const auto read = [&](const char* key, double otherwise) {
    return scaling.optional_double(key, otherwise, kLeastRopeFactor, kLargestRopeFactor);
  };
  config.low_freq_factor = read("low_freq_factor", config.low_freq_factor);
  config.high_freq_factor = read("high_freq_factor", config.high_freq_factor);
  if (config.high_freq_factor <= config.low_freq_factor) {
    scaling.problem(fmt::format("llama3 rope needs low_freq_factor < high_freq_factor; got {} and {}",
                                config.low_freq_factor, config.high_freq_factor));
  }
}

void read_yarn(ConfigReader& scaling, RopeConfig& config) {
  const auto read = [&](const char* key, double otherwise) {
    return scaling.optional_double(key, otherwise, kLeastRopeFactor, kLargestRopeFactor);
  };
  config.beta_fast = read("beta_fast", config.beta_fast);
  config.beta_slow = read("beta_slow", config.beta_slow);
  if (config.beta_fast < config.beta_slow) {
    scaling.problem(fmt::format("yarn rope needs beta_slow <= beta_fast; got {} and {}",
                                config.beta_slow, config.beta_fast));
  }
  config.truncate = scaling.optional_bool("truncate", config.truncate);
}

void read_longrope(ConfigReader& scaling, RopeConfig& config) {
  config.short_factor = read_factors(scaling, "short_factor", config.rotary_dim);
  config.long_factor = read_factors(scaling, "long_factor", config.rotary_dim);
  if (scaling.object().contains("short_mscale") || scaling.object().contains("long_mscale")) {
    scaling.problem("longrope with short_mscale or long_mscale is not supported");
  }
}

void read_scaling(ConfigReader& scaling, RopeConfig& config) {
  const std::string name = scaling.optional_string("rope_type", "default");
  const std::optional<RopeType> type = rope_type_named(name);
  if (!type.has_value()) {
    scaling.problem(
        fmt::format("rope type '{}' is not supported; known: {}", name, known_rope_types()));
    return;
  }
  config.type = *type;
  if (config.type == RopeType::kDefault) return;
  const bool from_lengths = config.type == RopeType::kYarn || config.type == RopeType::kLongrope;
  if (from_lengths || config.type == RopeType::kLlama3) {
    config.original_max_position = read_original_positions(scaling, config);
  }
  const double implied = from_lengths ? static_cast<double>(config.max_position) /
                                            static_cast<double>(config.original_max_position)
                                      : 0.0;
  config.factor =
      scaling.optional_double("factor", implied, kLeastRopeFactor, kLargestRopeFactor);
  if (config.factor <= 0.0) {
    scaling.problem(fmt::format("rope type '{}' needs a positive 'factor'", name));
    config.factor = 1.0;
  }
  if (config.type == RopeType::kLlama3) read_llama3(scaling, config);
  if (config.type == RopeType::kYarn) read_yarn(scaling, config);
  if (config.type == RopeType::kLongrope) read_longrope(scaling, config);
  config.attention_scale = static_cast<float>(
      scaling.optional_double("attention_factor", default_attention_scale(scaling, config),
                              1.0 / kLargestScale, kLargestScale));
}

// theta^(-2 i / rotary_dim).
std::vector<double> plain_frequencies(double theta, int rotary_dim) {
  std::vector<double> frequencies(static_cast<size_t>(rotary_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / rotary_dim);
  }
  return frequencies;
}

double llama3_frequency(const RopeConfig& config, double frequency) {
  const double turns = static_cast<double>(config.original_max_position) * frequency /
                       (2.0 * std::numbers::pi);  // rotations within the original context
  if (turns < config.low_freq_factor) return frequency / config.factor;
  if (turns > config.high_freq_factor) return frequency;
  const double smooth =
      (turns - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor);
  return (1.0 - smooth) * frequency / config.factor + smooth * frequency;
}

void scale_yarn(const RopeConfig& config, std::vector<double>& frequencies) {
  const auto dimension_of = [&](double rotations) {
    const double context = static_cast<double>(config.original_max_position);
    return config.rotary_dim * std::log(context / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(config.theta));
  };
  double low = dimension_of(config.beta_fast), high = dimension_of(config.beta_slow);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, config.rotary_dim - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] * (1.0 - ramp) + frequencies[i] / config.factor * ramp;
  }
}

// The base of a sequence of `length` tokens.
double theta_of(const RopeConfig& config, int64_t length) {
  double stretch = 1.0;
  if (config.type == RopeType::kDynamic && length > config.max_position) {
    stretch =
        config.factor * static_cast<double>(length) / static_cast<double>(config.max_position) -
        (config.factor - 1.0);
  } else if (config.type == RopeType::kDoublings && length > config.original_max_position) {
    const double contexts =
        static_cast<double>(length) / static_cast<double>(config.original_max_position);
    stretch = std::exp2(std::ceil(std::log2(contexts)) + 1.0) - 1.0;
  }
  const double d = config.rotary_dim;
  return config.theta * std::pow(stretch, d / (d - 2.0));
}

}  // namespace

int64_t RopeConfig::usable_positions() const {
  const auto stretched = [this](int64_t positions) {
    const double product = static_cast<double>(positions) * factor;
    return static_cast<int64_t>(std::min(product, static_cast<double>(kMaxPositions)));
  };
  switch (type) {
    case RopeType::kLinear: return max_position_scaled ? max_position : stretched(max_position);
    case RopeType::kDynamic: return stretched(max_position);
    case RopeType::kYarn: return std::max(max_position, stretched(original_max_position));
    default: return max_position;
  }
}

RopeConfig read_rope_config(ConfigReader& reader, int head_dim, double default_theta) {
  RopeConfig config;
  config.theta =
      reader.optional_double("rope_theta", default_theta, kLeastRopeTheta, kLargestRopeTheta);
  config.max_position = reader.required_int("max_position_embeddings", 1, kMaxPositions);
  const double part = reader.optional_double("partial_rotary_factor", 1.0, 0.0, 1.0);
  // A factor that was made from whole dimensions (GGUF) may lie a rounding below their quotient.
  config.rotary_dim = static_cast<int>(head_dim * part + 1e-6);
  if (config.rotary_dim < 4 || config.rotary_dim % 2 != 0) {
    reader.problem(
        fmt::format("{} of {} head dimensions would be rotated; expected an even number >= 4",
                    config.rotary_dim, head_dim));
    config.rotary_dim = 4;
  }
  if (const json::object* object = reader.optional_object("rope_scaling")) {
    ConfigReader scaling(*object, "rope_scaling");
    read_scaling(scaling, config);
    if (const Status status = scaling.status(); !status.ok()) reader.problem(status.message());
  }
  return config;
}

std::vector<float> rope_frequencies(const RopeConfig& config, int64_t length) {
  std::vector<double> frequencies = plain_frequencies(theta_of(config, length), config.rotary_dim);
  switch (config.type) {
    case RopeType::kLinear:
      for (double& frequency : frequencies) frequency /= config.factor;
      break;
    case RopeType::kLlama3:
      for (double& frequency : frequencies) frequency = llama3_frequency(config, frequency);
      break;
    case RopeType::kYarn: scale_yarn(config, frequencies); break;
    case RopeType::kLongrope: {
      const auto& factors =
          length > config.original_max_position ? config.long_factor : config.short_factor;
      for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= factors[i];
      break;
    }
    case RopeType::kDefault:
    case RopeType::kDynamic:
    case RopeType::kDoublings: break;
  }
  return std::vector<float>(frequencies.begin(), frequencies.end());
}

}  // namespace lmdeploy
