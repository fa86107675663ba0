#include "tests/models/mutations.h"

#include <algorithm>

namespace lmdeploy {
namespace {

bool contains(const std::string& name, std::string_view part) {
  return name.find(part) != std::string::npos;
}

}  // namespace

Mutate each(std::string part, std::function<void(TinyTensor&)> edit) {
  return [=](json::object&, TinyWeights& weights) {
    for (auto& [name, tensor] : weights) {
      if (contains(name, part)) edit(tensor);
    }
  };
}

Mutate fill(std::string part, float value) {
  return each(std::move(part), [=](TinyTensor& t) { t.values.assign(t.values.size(), value); });
}

Mutate erase(std::string part) {
  return [=](json::object&, TinyWeights& weights) {
    std::erase_if(weights, [&](const auto& entry) { return contains(entry.first, part); });
  };
}

Mutate exchange(std::string a, std::string b) {
  return [=](json::object&, TinyWeights& weights) {
    for (auto& [name, tensor] : weights) {
      const size_t at = name.find(a);
      if (at == std::string::npos) continue;
      std::string other = name;
      other.replace(at, a.size(), b);
      std::swap(tensor.values, weights.at(other).values);
    }
  };
}

Mutate set(std::string key, json::value value) {
  return [=](json::object& config, TinyWeights&) { config[key] = value; };
}

Mutate set_rope(std::string key, json::value value) {
  return [=](json::object& config, TinyWeights&) {
    const char* dictionary =
        config.contains("rope_parameters") ? "rope_parameters" : "rope_scaling";
    config[dictionary].as_object()[key] = value;
  };
}

void permute_rows(TinyTensor& tensor, const std::function<int64_t(int64_t)>& order) {
  const int64_t columns = tensor.shape.rank() == 2 ? tensor.shape[1] : 1;
  const std::vector<float> before = tensor.values;
  for (int64_t r = 0; r < tensor.shape[0]; ++r) {
    std::copy_n(before.begin() + order(r) * columns, columns, tensor.values.begin() + r * columns);
  }
}

Mutate interleave_rope(int64_t head_dim) {
  const auto edit = [=](TinyTensor& tensor) {
    permute_rows(tensor, [=](int64_t r) {
      const int64_t head = r / head_dim * head_dim, within = r % head_dim;
      return head + within % 2 * (head_dim / 2) + within / 2;
    });
  };
  return [=](json::object& config, TinyWeights& weights) {
    each("q_proj", edit)(config, weights);
    each("k_proj", edit)(config, weights);
  };
}

Mutate regroup_heads(int64_t head_dim) {
  const auto head_order = [=](int64_t r) {
    constexpr int64_t kOrder[] = {0, 2, 1, 3};
    return kOrder[r / head_dim] * head_dim + r % head_dim;
  };
  return [=](json::object& config, TinyWeights& weights) {
    each("q_proj", [=](TinyTensor& t) { permute_rows(t, head_order); })(config, weights);
    each("o_proj.weight", [=](TinyTensor& t) {
      const std::vector<float> before = t.values;
      const int64_t columns = t.shape[1];
      for (int64_t i = 0; i < t.shape.numel(); ++i) {
        t.values[static_cast<size_t>(i)] =
            before[static_cast<size_t>(i / columns * columns + head_order(i % columns))];
      }
    })(config, weights);
  };
}

Mutate add(std::string part, float delta) {
  return each(std::move(part), [=](TinyTensor& t) {
    for (float& value : t.values) value += delta;
  });
}

Mutate scale(std::string part, float factor) {
  return each(std::move(part), [=](TinyTensor& t) {
    for (float& value : t.values) value *= factor;
  });
}

}  // namespace lmdeploy
