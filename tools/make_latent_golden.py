#!/usr/bin/env python3
"""Makes tests/data/goldens/NAME/ of models with latent attention (DeepSeek V2 and V3), as
make_moe_golden.py does.

usage: make_latent_golden.py [NAME ...]
"""
import sys

import torch
import transformers

import make_moe_golden as moe

BASE = {**{key: value for key, value in moe.BASE.items() if key != "head_dim"},
        "num_key_value_heads": 4, "kv_lora_rank": 32, "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 16, "v_head_dim": 24, "n_routed_experts": 16, "num_experts_per_tok": 4,
        "moe_intermediate_size": 96, "n_shared_experts": 2, "first_k_dense_replace": 1,
        "moe_layer_freq": 1, "rms_norm_eps": 1e-6}
# Queries and keys with elements around 1.8.
STDDEV = [["q_a_proj.weight", 0, 0.09], ["q_b_proj.weight", 0, 0.26],
          ["kv_a_proj_with_mqa.weight", 0, 0.09], ["kv_b_proj.weight", 0, 0.3],
          ["e_score_correction_bias", 0.3, 0.05], *moe.STDDEV]


def yarn(factor, **changes):
    return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": 64,
            "beta_fast": 32, "beta_slow": 1, **changes}


def deepseek_v2(**changes):
    return {**BASE, "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
            "norm_topk_prob": False, "scoring_func": "softmax", **changes}


def deepseek_v3(**changes):
    return {**BASE, "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
            "norm_topk_prob": True, "scoring_func": "sigmoid", "topk_method": "noaux_tc", **changes}


VARIANTS = {
    "deepseek-v2-lite": deepseek_v2(
        q_lora_rank=None, topk_method="greedy", n_group=1, topk_group=1,
        routed_scaling_factor=1.0, max_position_embeddings=2560,
        rope_scaling=yarn(40, mscale=0.707, mscale_all_dim=0.707)),
    "deepseek-v2": deepseek_v2(
        q_lora_rank=48, topk_method="group_limited_greedy", n_group=4, topk_group=2,
        routed_scaling_factor=2.0),
    "deepseek-v3": deepseek_v3(
        q_lora_rank=48, n_group=4, topk_group=2, routed_scaling_factor=2.5,
        max_position_embeddings=2560, rope_scaling=yarn(40, mscale=1.0, mscale_all_dim=1.0)),
}


class Writer(moe.Writer):
    """Experts one by one, and the correction, which is no parameter of transformers' class."""

    def parameter(self, name, shape):
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            return self.separate(name, tuple(shape))
        return self.tensor(name, tuple(shape))

    def fill(self, model):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.parameter(name, parameter.shape))
            for name, buffer in model.named_buffers():
                if name.endswith("e_score_correction_bias"):
                    buffer.copy_(self.tensor(name, tuple(buffer.shape)))


class Routers(moe.Routers):
    """Choices by groups too: a token's margin is 1 where noise of the logits changes no choice.

    The noise is above what bfloat16 makes (0.06 to 0.1 in the last layer), because a changed choice
    moves logits by up to 2.4 (V2) and 6.7 (V3), where transformers' bfloat16 moves them by 0.8 without
    one: closer choices would let another order of the same sums pass or fail by chance."""

    NOISE, DRAWS = 0.2, 12

    def __init__(self, model, top_k):
        self.model, self.top_k, self.logits = model, top_k, []
        self.routers = [m for m in model.modules() if type(m).__name__.endswith("TopkRouter")]
        for module in self.routers:
            module.register_forward_hook(self.collect)

    def choices(self, logits, module):
        config = self.model.config
        if config.model_type == "deepseek_v3":
            scores = logits.sigmoid() + module.e_score_correction_bias
        else:
            scores = logits.softmax(-1)
        if config.n_group > 1:
            groups = scores.unflatten(-1, (config.n_group, -1))
            best = groups.topk(2, -1).values.sum(-1) if config.model_type == "deepseek_v3" else groups.amax(-1)
            kept = torch.zeros_like(best).scatter_(-1, best.topk(config.topk_group, -1).indices, 1.0)
            scores = scores.masked_fill(kept.repeat_interleave(groups.shape[-1], -1) == 0, 0.0)
        return scores.topk(self.top_k, -1).indices.sort(-1).values

    def margins(self, prompts):
        generator = torch.Generator().manual_seed(1)
        logits = self.run(prompts)
        steady = torch.ones(logits.shape[0], logits.shape[2])
        for layer, module in enumerate(self.routers):
            own = self.choices(logits[:, layer], module)
            for _ in range(self.DRAWS):
                noise = self.NOISE * torch.randn(logits[:, layer].shape, generator=generator)
                steady *= (self.choices(logits[:, layer] + noise, module) == own).all(-1)
        return steady


def build(name, values):
    config = transformers.CONFIG_MAPPING[values["model_type"]].from_dict(dict(values))
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = getattr(transformers, values["architectures"][0])(config).eval().to(torch.float32)
    writer = Writer(name, values, STDDEV)
    writer.fill(model)
    return model, writer.shapes


def main():
    torch.set_num_threads(2)
    moe.VARIANTS.update(VARIANTS)
    moe.build = build
    moe.Routers = Routers
    moe.rules_of = lambda values: STDDEV
    for name in sys.argv[1:] or VARIANTS:
        moe.make(name)


if __name__ == "__main__":
    main()
