#!/usr/bin/env python3
"""Makes tests/data/goldens/NAME/ of mixtures of experts: as make_golden.py, but the checkpoint has
the published tensors (an expert's matrices one by one, in the published names), from which the
stacked ones that transformers 5 computes with are put together here.

Prompts are such that no expert is chosen by a hair: a choice that changes moves the logits by up to ten
times as much as the rest of what bfloat16 does, so that with close choices a test passes or fails by the
order of sums, or allows every error. Prints the least margin, and how many experts of a layer get no
token of the shortest prompt.

usage: make_moe_golden.py [NAME ...]
"""
import copy
import re
import sys

import numpy as np
import torch
import transformers

import make_golden as dense
from hash_random import random_tensor

BASE = {**dense.BASE, "intermediate_size": 160}
STDDEV = [["mlp.gate.weight", 0, 0.15], ["block_sparse_moe.gate.weight", 0, 0.15],
          ["shared_expert_gate.weight", 0, 0.2], ["router.layer.weight", 0, 0.15],
          ["router.weight", 0, 0.15], ["router.bias", 0, 0.5], ["sinks", 0, 2.0],
          ["w1.weight", 0, 0.12], ["w3.weight", 0, 0.09], ["w2.weight", 0, 0.12],
          ["experts.gate_up_proj", 0, 0.1], ["experts.down_proj", 0, 0.12],
          ["gate_up_proj_bias", 0, 0.5], ["down_proj_bias", 0, 0.3],
          ["mlp.w1", 0, 0.12], ["mlp.v1", 0, 0.09], ["mlp.w2", 0, 0.12],
          ["Wqkv.weight", 0, 0.16], ["out_proj.weight", 0, 0.06], ["wte.weight", 0.2, 0.4],
          ["norm_1.weight", 1, 0.2], ["norm_2.weight", 1, 0.2], ["norm_f.weight", 1, 0.2],
          *dense.STDDEV]


# Gates and ups that reach the clamps.
GPT_OSS_STDDEV = [["experts.gate_up_proj", 0, 0.3], ["gate_up_proj_bias", 0, 1.0],
                  ["experts.down_proj", 0, 0.02], *STDDEV]


def mixtral(**changes):
    return {**BASE, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral",
            "intermediate_size": 96, "num_local_experts": 8, "num_experts_per_tok": 2, **changes}


def qwen2_moe(**changes):
    return {**dense.without_head_dim(BASE), "architectures": ["Qwen2MoeForCausalLM"],
            "model_type": "qwen2_moe", "num_attention_heads": 2, "num_key_value_heads": 1,
            "num_experts": 12, "num_experts_per_tok": 3, "moe_intermediate_size": 96,
            "shared_expert_intermediate_size": 160, "norm_topk_prob": False, **changes}


def qwen3_moe(**changes):
    return {**BASE, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
            "head_dim": 128, "num_experts": 16, "num_experts_per_tok": 4,
            "moe_intermediate_size": 96, "norm_topk_prob": True, **changes}


def deepseek(**changes):
    return {**dense.without_head_dim(BASE), "architectures": ["DeepseekForCausalLM"],
            "model_type": "deepseek", "num_attention_heads": 2, "num_key_value_heads": 2,
            "n_routed_experts": 16, "num_experts_per_tok": 6, "moe_intermediate_size": 96,
            "n_shared_experts": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1,
            "norm_topk_prob": False, "scoring_func": "softmax", **changes}


def gpt_oss(**changes):
    return {**BASE, "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss",
            "num_hidden_layers": 4, "intermediate_size": 96, "num_local_experts": 12,
            "num_experts_per_tok": 4, "sliding_window": 16, "attention_bias": True,
            "swiglu_limit": 7.0, "layer_types": ["sliding_attention", "full_attention"] * 2,
            "rope_theta": 150000.0, "max_position_embeddings": 4096, "rope_scaling": {
                "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
                "truncate": False, "original_max_position_embeddings": 128}, **changes}


def dbrx(**changes):
    return {"architectures": ["DbrxForCausalLM"], "model_type": "dbrx", "d_model": 128,
            "n_heads": 2, "n_layers": 3, "max_seq_len": 512, "vocab_size": 256,
            "rope_theta": 500000.0, "tie_word_embeddings": False,
            "attn_config": {"clip_qkv": 2.0, "kv_n_heads": 1, "rope_theta": 500000.0},
            "ffn_config": {"ffn_act_fn": {"name": "silu"}, "ffn_hidden_size": 96,
                           "moe_num_experts": 8, "moe_top_k": 4,
                           "moe_normalize_expert_weights": 1.0}, **changes}


VARIANTS = {
    "mixtral": mixtral(),
    "mixtral-stacked": mixtral(sliding_window=16, num_experts_per_tok=3),
    "qwen2-moe": qwen2_moe(num_hidden_layers=4, mlp_only_layers=[1]),
    "qwen2-moe-step": qwen2_moe(decoder_sparse_step=2, norm_topk_prob=True),
    "qwen3-moe": qwen3_moe(),
    "deepseek-moe": deepseek(),
    "gpt-oss": gpt_oss(),
    "dbrx": dbrx(),
}
STACKED = {"mixtral-stacked"}  # checkpoints with transformers' own tensors


def native(values):
    """The configuration of the class that computes the same. DeepSeek-MoE's code is remote: it is
    Qwen 2-MoE without q, k, v biases and with a gate of the shared MLP that is 1."""
    if values["model_type"] != "deepseek":
        return values
    shared = values["n_shared_experts"] * values["moe_intermediate_size"]
    return {**values, "architectures": ["Qwen2MoeForCausalLM"], "model_type": "qwen2_moe",
            "qkv_bias": False, "num_experts": values["n_routed_experts"],
            "shared_expert_intermediate_size": shared,
            "mlp_only_layers": list(range(values["first_k_dense_replace"]))}


class Open(torch.nn.Module):
    """A gate whose sigmoid is 1."""

    def forward(self, x):
        return torch.full_like(x[..., :1], 80.0)


class Writer:
    """Random published tensors, and transformers' parameters made of them."""

    def __init__(self, name, values, rules):
        self.stacked = name in STACKED
        self.family = values["model_type"]
        self.rules = rules
        self.shapes = {}

    def tensor(self, name, shape):
        _, mean, stddev = dense.rule(self.rules, name)
        self.shapes[name] = list(shape)
        return torch.from_numpy(random_tensor(name, shape, mean, stddev))

    def published(self, name):
        if self.family == "mixtral" and not self.stacked:
            return name.replace(".mlp.", ".block_sparse_moe.")
        if self.family == "deepseek":
            return name.replace("shared_expert.", "shared_experts.")
        return name

    def separate(self, name, shape):
        """Experts one by one: what is stacked as [E, 2 I, H] and [E, H, I]."""
        names = {"mixtral": ("w1", "w3", "w2")}.get(self.family, ("gate_proj", "up_proj", "down_proj"))
        prefix = self.published(name).rsplit(".", 1)[0]
        experts = []
        for e in range(shape[0]):
            if name.endswith("down_proj"):
                experts.append(self.tensor(f"{prefix}.{e}.{names[2]}.weight", shape[1:]))
                continue
            half = (shape[1] // 2, shape[2])
            experts.append(torch.cat([self.tensor(f"{prefix}.{e}.{part}.weight", half)
                                      for part in names[:2]]))
        return torch.stack(experts)

    def parameter(self, name, shape):
        one_by_one = self.family in ("mixtral", "qwen2_moe", "qwen3_moe", "deepseek")
        if re.search(r"experts\.(gate_up_proj|down_proj)$", name) and one_by_one and not self.stacked:
            return self.separate(name, tuple(shape))
        return self.tensor(self.published(name), tuple(shape))


def rules_of(values):
    return GPT_OSS_STDDEV if values["model_type"] == "gpt_oss" else STDDEV


def build(name, values):
    known = native(values)
    config = transformers.CONFIG_MAPPING[known["model_type"]].from_dict(copy.deepcopy(known))
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = getattr(transformers, known["architectures"][0])(config).eval().to(torch.float32)
    if values["model_type"] == "deepseek":
        for layer in model.model.layers:
            if hasattr(layer.mlp, "shared_expert_gate"):
                layer.mlp.shared_expert_gate = Open()
    writer = Writer(name, values, rules_of(values))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(writer.parameter(parameter_name, parameter.shape))
    return model, writer.shapes


class Routers:
    """What the routers of a model say, token by token."""

    def __init__(self, model, top_k):
        self.model, self.top_k, self.logits = model, top_k, []
        for module in model.modules():
            if type(module).__name__.endswith(("TopKRouter", "DbrxRouter")):
                module.register_forward_hook(self.collect)

    def collect(self, _, __, out):
        self.logits.append((out[0] if isinstance(out, tuple) else out).detach().float())

    def run(self, prompts):
        """[layers, tokens, experts] of each of several prompts of one length."""
        self.logits.clear()
        with torch.no_grad():
            self.model(torch.tensor(prompts), use_cache=False)
        stacked = torch.stack([layer.reshape(len(prompts), -1, layer.shape[-1]) for layer in self.logits])
        return stacked.transpose(0, 1)

    def margins(self, prompts):
        """[prompts, tokens]: the least, over the layers, by which the last chosen expert is better
        than the best of the others."""
        scores = torch.sort(self.run(prompts), descending=True).values
        return (scores[..., self.top_k - 1] - scores[..., self.top_k]).amin(dim=1)

    def idle(self, prompt):
        """Most experts of a layer without a token."""
        return max(layer.shape[-1] - torch.topk(layer, self.top_k).indices.unique().numel()
                   for layer in self.run([prompt])[0])


MARGIN = 0.25  # in logits with a standard deviation near 2, in which bfloat16 errs by 0.03 to 0.1
CANDIDATES = 8


def settled(routers, name, ids, vocab):
    """The prompt with tokens exchanged until every choice of experts has the margin."""
    spare = iter(dense.prompt_ids(name + " spare", 100000, vocab))
    at = 0
    while at < len(ids):
        bad = torch.nonzero(routers.margins([ids])[0] < MARGIN).flatten().tolist()
        if not bad:
            break
        at = bad[0]
        while True:
            tries = [ids[:at] + [next(spare)] for _ in range(CANDIDATES)]
            margins = routers.margins(tries)[:, at]
            best = int(margins.argmax())
            if margins[best] >= MARGIN:
                ids = tries[best] + ids[at + 1:]
                break
    return ids


def top_k_of(values):
    return values["ffn_config"]["moe_top_k"] if "ffn_config" in values else values["num_experts_per_tok"]


def as_it_is(model, length):
    """Nothing of the model depends on the prompt."""


def make(name):
    values = VARIANTS[name]
    model, shapes = build(name, values)
    routers = Routers(copy.deepcopy(model), top_k_of(values))
    prompts = []
    for length in dense.LENGTHS:
        rows = sorted(set(np.linspace(0, length - 1, min(dense.ROWS, length)).astype(int).tolist()))
        ids = dense.prompt_ids(name, length, values["vocab_size"])
        prompts.append({"ids": settled(routers, name, ids, values["vocab_size"]), "rows": rows})
    said = dense.write(name, values, rules_of(values), shapes, prompts,
                       lambda dtype: dense.run(model, dtype, prompts, as_it_is))
    margin = min(float(routers.margins([p["ids"]]).min()) for p in prompts)
    print(f"{said}; least margin {margin:.2f}, {routers.idle(prompts[0]['ids'])} experts without tokens", flush=True)


def main():
    torch.set_num_threads(2)
    for name in sys.argv[1:] or VARIANTS:
        make(name)


if __name__ == "__main__":
    main()
