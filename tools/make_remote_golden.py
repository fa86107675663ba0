#!/usr/bin/env python3
"""Goldens (make_golden.py) of models whose published code is not part of transformers: Baichuan and
MiniCPM, as the same mathematics from Llama's parts, with the published tensors.

usage: make_remote_golden.py [NAME ...]      (all without names)
"""
import copy
import math
import sys

import numpy as np
import torch
import transformers

from hash_random import random_tensor
from make_golden import BASE, LENGTHS, ROWS, STDDEV, prompt_ids, rule, without_head_dim, write

RULES = {
    "baichuan": [["W_pack.weight", 0, 0.16], ["model.norm.weight", 2, 0.4],
                 ["lm_head.weight", 0, 0.15], *STDDEV],
    "minicpm": [["embed_tokens.weight", 0, 0.15], *STDDEV],
}


def baichuan(architecture, heads, **changes):
    config = {**without_head_dim(BASE), "architectures": [architecture], "model_type": "baichuan",
              "num_attention_heads": heads, "hidden_size": 64 * heads, **changes}
    config.pop("num_key_value_heads")
    if "model_max_length" in changes and "max_position_embeddings" not in changes:
        config.pop("max_position_embeddings")
    return config


VARIANTS = {
    "baichuan-7b": baichuan("BaiChuanForCausalLM", 4),
    "baichuan-13b": baichuan("BaichuanForCausalLM", 6, model_max_length=512),
    "baichuan2-7b": baichuan("BaichuanForCausalLM", 4, model_max_length=512,
                             max_position_embeddings=512, z_loss_weight=0),
    "baichuan2-13b": baichuan("BaichuanForCausalLM", 6, model_max_length=512, z_loss_weight=0),
    "minicpm": {**without_head_dim(BASE), "architectures": ["MiniCPMForCausalLM"],
                "model_type": "minicpm", "hidden_size": 256, "scale_emb": 12, "scale_depth": 0.7,
                "dim_model_base": 128, "tie_word_embeddings": True, "rms_norm_eps": 1e-2},
}


def scaled_rules(values):
    """As make_golden.py's: matrices become smaller with the square root of the hidden size."""
    shrink = (BASE["hidden_size"] / values["hidden_size"]) ** 0.5
    matrices = ("W_pack.weight", "proj.weight", "lm_head.weight")
    return [[name, mean, stddev * shrink if name.endswith(matrices) else stddev]
            for name, mean, stddev in RULES[values["model_type"]]]


def alibi_slopes(heads):
    """Press et al.: a geometric sequence for a power of two; else every other slope of the next fills up."""
    if math.log2(heads).is_integer():
        return [2 ** (-8 * (k + 1) / heads) for k in range(heads)]
    power = 2 ** math.floor(math.log2(heads))
    return alibi_slopes(power) + alibi_slopes(2 * power)[0::2][:heads - power]


class Model(torch.nn.Module):
    def __init__(self, values):
        super().__init__()
        known = {**values, "max_position_embeddings": 512, "model_type": "llama"}
        config = transformers.LlamaConfig.from_dict(known)
        config._attn_implementation = "eager"
        self.llama = transformers.LlamaForCausalLM(config)
        self.alibi = values["model_type"] == "baichuan" and "max_position_embeddings" not in values
        self.unit_rows = "z_loss_weight" in values
        self.embedding_scale = values.get("scale_emb", 1)
        self.residual_scale = (values["scale_depth"] / math.sqrt(values["num_hidden_layers"])
                               if "scale_depth" in values else 1)
        self.hidden_divisor = (values["hidden_size"] / values["dim_model_base"]
                               if "dim_model_base" in values else 1)

    def mask(self, length, dtype):
        distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
        mask = torch.zeros(1, 1, length, length)
        if self.alibi:
            slopes = torch.tensor(alibi_slopes(self.llama.config.num_attention_heads))
            mask = slopes[None, :, None, None] * distance
        return mask.masked_fill(distance > 0, torch.finfo(dtype).min).to(dtype)

    def rotation(self, h, positions):
        cos, sin = self.llama.model.rotary_emb(h, positions)
        return (torch.ones_like(cos), torch.zeros_like(sin)) if self.alibi else (cos, sin)

    def forward(self, ids):
        model = self.llama.model
        h = model.embed_tokens(ids) * self.embedding_scale
        rotation = self.rotation(h, torch.arange(ids.shape[1])[None])
        mask = self.mask(ids.shape[1], h.dtype)
        for layer in model.layers:
            out = layer.self_attn(layer.input_layernorm(h), position_embeddings=rotation,
                                  attention_mask=mask)[0]
            h = h + out * self.residual_scale
            h = h + layer.mlp(layer.post_attention_layernorm(h)) * self.residual_scale
        h = model.norm(h) / self.hidden_divisor
        weight = self.llama.lm_head.weight
        if self.unit_rows:
            weight = torch.nn.functional.normalize(weight)
        return h @ weight.T


def build(values, rules):
    """The fp32 model, and the shapes of the published tensors that its weights are made from."""
    model = Model(values).eval().to(torch.float32)
    fused = values["model_type"] == "baichuan"
    shapes = {}

    def published(name, shape):
        _, mean, stddev = rule(rules, name)
        shapes[name] = list(shape)
        return torch.from_numpy(random_tensor(name, shape, mean, stddev))

    with torch.no_grad():
        for name, parameter in model.llama.named_parameters():
            if fused and "k_proj" in name or fused and "v_proj" in name:
                continue
            if not (fused and "q_proj" in name):
                parameter.copy_(published(name, parameter.shape))
                continue
            layer = model.llama.get_submodule(name.split(".q_proj")[0])
            rows, columns = parameter.shape
            pack = published(name.replace("q_proj", "W_pack"), (3 * rows, columns))
            for part, weight in zip((layer.q_proj, layer.k_proj, layer.v_proj), pack.chunk(3)):
                part.weight.copy_(weight)
    return model, shapes


def run(fp32_model, dtype, prompts):
    model = copy.deepcopy(fp32_model).to(dtype)
    with torch.no_grad():
        rows = [model(torch.tensor([prompt["ids"]]))[0].float().numpy()[prompt["rows"]]
                for prompt in prompts]
    return np.concatenate(rows)


def make(name):
    values = VARIANTS[name]
    rules = scaled_rules(values)
    prompts = []
    for length in LENGTHS:
        rows = sorted(set(np.linspace(0, length - 1, min(ROWS, length)).astype(int).tolist()))
        prompts.append({"ids": prompt_ids(name, length, values["vocab_size"]), "rows": rows})
    model, shapes = build(values, rules)
    print(write(name, values, rules, shapes, prompts, lambda dtype: run(model, dtype, prompts)))


def main():
    torch.set_num_threads(2)
    for name in sys.argv[1:] or VARIANTS:
        make(name)


if __name__ == "__main__":
    main()
