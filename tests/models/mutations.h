// What breaks a peculiarity of an architecture by hand, through its configuration or its weights.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/models/golden.h"

namespace lmdeploy {

using Mutate = std::function<void(json::object&, TinyWeights&)>;

struct Mutation {
  const char* golden;
  const char* what;
  Mutate apply;
};

// Calls edit(tensor) for every tensor whose name contains `part`.
Mutate each(std::string part, std::function<void(TinyTensor&)> edit);
Mutate fill(std::string part, float value);
Mutate erase(std::string part);
// Exchanges the tensors of every pair of names that differ by `a` and `b` alone.
Mutate exchange(std::string a, std::string b);
Mutate set(std::string key, json::value value);
Mutate set_rope(std::string key, json::value value);
// Row r of the result is row order(r) of the tensor.
void permute_rows(TinyTensor& tensor, const std::function<int64_t(int64_t)>& order);
// q and k with the rows of their heads in interleaved order, as GGUF stores Llama.
Mutate interleave_rope(int64_t head_dim);
// Query heads 0 1 2 3 in the order 0 2 1 3, and their columns of o_proj: what reading the kv groups
// as h % kv_heads instead of h / group would compute.
Mutate regroup_heads(int64_t head_dim);
Mutate add(std::string part, float delta);
Mutate scale(std::string part, float factor);

// Of the families in mutations_dense.cc and mutations_fused.cc.
std::vector<Mutation> dense_mutations();
// Of those in mutations_moe.cc.
std::vector<Mutation> moe_mutations();
// Of those in mutations_latent.cc.
std::vector<Mutation> latent_mutations();
std::vector<Mutation> fused_mutations();

}  // namespace lmdeploy
