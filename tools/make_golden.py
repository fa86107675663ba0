#!/usr/bin/env python3
"""Makes tests/data/goldens/NAME/: what transformers computes with a tiny random checkpoint.

Weights are not kept: the tests write them from the same hash (hash_random.py, src/base/random.h).

  config.json   of the checkpoint
  golden.json   "stddev": [[name suffix, mean, stddev], ...], first match; "tensors": {name: shape};
                "prompts": [{"ids": [...], "rows": [...]}]; "errors": {dtype: {"max", "rms"}} of
                transformers in that dtype against its own fp32 logits
  logits.f32    little-endian fp32 [rows of all prompts, vocab]

usage: make_golden.py [NAME ...]      (all without names; needs torch, transformers)
"""
import copy
import json
import pathlib
import sys

import numpy as np
import torch
import transformers

from golden_layouts import LAYOUTS
from hash_random import hash_normal, hash_name, random_tensor

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "goldens"
LENGTHS = [9, 37, 150]
ROWS = 12  # logits kept of each prompt

BASE = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 256, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "bos_token_id": 1,
        "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False, "torch_dtype": "float32"}

# Of a model with hidden_size 128; matrices become smaller with the square root of that (scaled_rules).
# Queries and keys with elements around 1.8 give scores with a standard deviation around 3; the other
# matrices keep the residual stream near 1 and the logits around 3.
STDDEV = [["qkv_proj.weight", 0, 0.14], ["q_proj.weight", 0, 0.16], ["k_proj.weight", 0, 0.16], ["v_proj.weight", 0, 0.09],
          ["q_norm.weight", 1.8, 0.3], ["k_norm.weight", 1.8, 0.3],
          ["o_proj.weight", 0, 0.06], ["gate_proj.weight", 0, 0.12], ["up_proj.weight", 0, 0.09],
          ["down_proj.weight", 0, 0.09], ["q_proj.bias", 0, 0.7], ["k_proj.bias", 0, 0.7],
          ["v_proj.bias", 0, 0.5], ["o_proj.bias", 0, 0.3], ["proj.bias", 0, 0.3],
          ["norm.weight", 1, 0.2], ["layernorm.weight", 1, 0.2],
          ["embed_tokens.weight", 0, 0.4], ["lm_head.weight", 0, 0.3]]
# Families with layer norms: rows whose mean is far from 0, biases everywhere.
LAYER_NORM_STDDEV = [["q_norm.weight", 1.8, 0.3], ["k_norm.weight", 1.8, 0.3],
                     *[[f"layernorm.norms.{head}.weight", 1.8, 0.3] for head in range(8)],
                     ["embed_tokens.weight", 0.3, 0.4], ["word_embeddings.weight", 0.3, 0.4],
                     ["norm.bias", 0, 0.2], ["ln_attn.weight", 1, 0.2], ["ln_mlp.weight", 1, 0.2],
                     ["ln_f.weight", 1, 0.2], ["self_attn.dense.weight", 0, 0.06],
                     ["self_attention.dense.weight", 0, 0.06],
                     ["query_key_value.weight", 0, 0.13], ["query_key_value.bias", 0, 0.5],
                     ["c_fc.weight", 0, 0.12], ["c_proj.weight", 0, 0.09], ["fc1.weight", 0, 0.12],
                     ["fc2.weight", 0, 0.09], ["dense_h_to_4h.weight", 0, 0.12],
                     ["dense_4h_to_h.weight", 0, 0.09], *STDDEV, ["bias", 0, 0.3]]
# Logits and embeddings are scaled down or up by the model.
GRANITE_STDDEV = [["embed_tokens.weight", 0, 0.05], ["lm_head.weight", 0, 2.0],
                  ["q_proj.weight", 0, 0.2], ["k_proj.weight", 0, 0.2], ["o_proj.weight", 0, 0.2],
                  ["down_proj.weight", 0, 0.3], *STDDEV]
COHERE_STDDEV = [["embed_tokens.weight", 0.3, 2.0], ["o_proj.weight", 0, 0.2],
                 ["down_proj.weight", 0, 0.2], *LAYER_NORM_STDDEV]
# Gemma's norms hold w - 1, its embeddings are multiplied by sqrt(hidden).
GEMMA_STDDEV = [["q_norm.weight", 0.5, 0.3], ["k_norm.weight", 0.5, 0.3], ["norm.weight", 0, 0.3],
                ["embed_tokens.weight", 0, 0.25]] + STDDEV


def without_head_dim(config):
    """The head dimension is then hidden_size / num_attention_heads."""
    return {key: value for key, value in config.items() if key != "head_dim"}


def internlm(**changes):
    return {**without_head_dim(BASE), "architectures": ["InternLMForCausalLM"],
            "model_type": "internlm", "num_key_value_heads": 4, "hidden_size": 256, "bias": True,
            **changes}


def internlm2(**changes):
    return {**without_head_dim(BASE), "architectures": ["InternLM2ForCausalLM"],
            "model_type": "internlm2", "hidden_size": 256, "bias": False,
            "max_position_embeddings": 64, "rope_scaling": {"type": "dynamic", "factor": 2.0},
            **changes}


def internlm3(**changes):
    return {**BASE, "architectures": ["InternLM3ForCausalLM"], "model_type": "internlm3",
            "qkv_bias": False, "bias": False, "hidden_size": 256, "max_position_embeddings": 64,
            "rope_scaling": {"rope_type": "dynamic", "factor": 6.0}, **changes}


def qwen(**changes):
    return {"architectures": ["QWenLMHeadModel"], "model_type": "qwen", "hidden_size": 256,
            "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 4,
            "kv_channels": 64, "vocab_size": 256, "layer_norm_epsilon": 1e-6, "no_bias": True,
            "rotary_emb_base": 10000, "rotary_pct": 1.0, "seq_length": 32,
            "max_position_embeddings": 512, "use_dynamic_ntk": True, "use_logn_attn": True,
            "tie_word_embeddings": False, "torch_dtype": "float32", **changes}


def chatglm(**changes):
    return {"architectures": ["ChatGLMModel"], "model_type": "chatglm", "hidden_size": 256,
            "ffn_hidden_size": 192, "num_layers": 3, "num_attention_heads": 4, "kv_channels": 64,
            "multi_query_attention": True, "multi_query_group_num": 2, "padded_vocab_size": 256,
            "layernorm_epsilon": 1e-5, "add_qkv_bias": True,
            "add_bias_linear": False, "rmsnorm": True, "post_layer_norm": True,
            "apply_residual_connection_post_layernorm": False, "seq_length": 512,
            "tie_word_embeddings": False, "torch_dtype": "float32", **changes}


def glm(**changes):
    return {**BASE, "architectures": ["GlmForCausalLM"], "model_type": "glm", "hidden_size": 256,
            "attention_bias": True, "partial_rotary_factor": 0.5, **changes}


def glm4(**changes):
    return glm(architectures=["Glm4ForCausalLM"], model_type="glm4", **changes)


def gemma(**changes):
    config = {**BASE, "architectures": ["GemmaForCausalLM"], "model_type": "gemma",
              "head_dim": 256, "num_attention_heads": 2, "num_key_value_heads": 1,
              "hidden_act": "gelu", "hidden_activation": None, "tie_word_embeddings": True}
    return {**config, **changes}


def gemma2(**changes):
    config = gemma(architectures=["Gemma2ForCausalLM"], model_type="gemma2",
                   hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=144,
                   sliding_window=16, attn_logit_softcapping=5.0, final_logit_softcapping=6.0)
    return {**config, **changes}


def phi3(**changes):
    return {**without_head_dim(BASE), "architectures": ["Phi3ForCausalLM"], "model_type": "phi3",
            "hidden_size": 192, "num_attention_heads": 2, "num_key_value_heads": 1,
            "sliding_window": 16, **changes}


def llama(**changes):
    return {**BASE, "architectures": ["LlamaForCausalLM"], "model_type": "llama", **changes}


def mistral(**changes):
    return {**BASE, "architectures": ["MistralForCausalLM"], "model_type": "mistral", **changes}


def qwen2(**changes):
    return {**without_head_dim(BASE), "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **changes}


def qwen3(**changes):
    return {**BASE, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 128,
            **changes}


def gemma3(**changes):
    config = {**BASE, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
              "head_dim": 256, "num_attention_heads": 2, "num_key_value_heads": 1,
              "num_hidden_layers": 6, "hidden_activation": "gelu_pytorch_tanh",
              "tie_word_embeddings": True, "query_pre_attn_scalar": 200, "sliding_window": 16,
              "sliding_window_pattern": 3, "rope_theta": 1000000.0, "rope_local_base_freq": 100.0}
    config.pop("hidden_act")
    return {**config, **changes}


def starcoder2(**changes):
    config = {**without_head_dim(BASE), "architectures": ["Starcoder2ForCausalLM"],
              "model_type": "starcoder2", "hidden_size": 256, "norm_epsilon": 1e-5,
              "hidden_act": "gelu_pytorch_tanh", "sliding_window": 16, "use_bias": True,
              "tie_word_embeddings": True}
    config.pop("rms_norm_eps")
    return {**config, **changes}


def phi(**changes):
    config = {**without_head_dim(BASE), "architectures": ["PhiForCausalLM"], "model_type": "phi",
              "hidden_size": 320, "num_key_value_heads": 4, "layer_norm_eps": 1e-5,
              "hidden_act": "gelu_new", "partial_rotary_factor": 0.4}
    config.pop("rms_norm_eps")
    return {**config, **changes}


def stablelm(**changes):
    config = {**without_head_dim(BASE), "architectures": ["StableLmForCausalLM"],
              "model_type": "stablelm", "hidden_size": 320, "layer_norm_eps": 1e-5,
              "partial_rotary_factor": 0.25, "use_qkv_bias": False}
    config.pop("rms_norm_eps")
    return {**config, **changes}


def cohere(**changes):
    config = {**without_head_dim(BASE), "architectures": ["CohereForCausalLM"],
              "model_type": "cohere", "hidden_size": 256, "layer_norm_eps": 1e-5,
              "logit_scale": 0.0625, "use_qk_norm": False, "tie_word_embeddings": True}
    config.pop("rms_norm_eps")
    return {**config, **changes}


def olmo2(**changes):
    return {**without_head_dim(BASE), "architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2",
            "hidden_size": 256, **changes}


def granite(**changes):
    return {**without_head_dim(BASE), "architectures": ["GraniteForCausalLM"],
            "model_type": "granite", "hidden_size": 256, "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22, "attention_multiplier": 0.1, "logits_scaling": 8.0,
            "rms_norm_eps": 1e-3,
            **changes}


def falcon(**changes):
    config = {**without_head_dim(BASE), "architectures": ["FalconForCausalLM"],
              "model_type": "falcon", "hidden_size": 256, "layer_norm_epsilon": 1e-5,
              "alibi": False, "bias": False, "tie_word_embeddings": True}
    for key in ("rms_norm_eps", "intermediate_size", "num_key_value_heads", "hidden_act"):
        config.pop(key)
    return {**config, **changes}


def factors(count, first, step):
    return [round(first + step * i, 4) for i in range(count)]


VARIANTS = {
    "llama": without_head_dim(llama(hidden_size=256)),
    "llama-tied-hd80": llama(tie_word_embeddings=True, num_attention_heads=4,
                             num_key_value_heads=1, head_dim=80),
    "llama-hd100": llama(num_attention_heads=2, num_key_value_heads=2, head_dim=100),
    "llama-bias": llama(attention_bias=True, mlp_bias=True, num_key_value_heads=4),
    "llama-llama3": llama(rope_theta=5000.0, rope_scaling={
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}),
    "llama-linear": llama(rope_scaling={"type": "linear", "factor": 4.0}),
    "llama-dynamic": llama(max_position_embeddings=64, rope_scaling={"type": "dynamic", "factor": 2.0}),
    "llama-yarn": llama(max_position_embeddings=4096, rope_scaling={
        "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 512}),
    "llama-longrope": llama(head_dim=96, rope_scaling={
        "rope_type": "longrope", "original_max_position_embeddings": 64, "factor": 8.0,
        "short_factor": factors(48, 1.0, 0.02), "long_factor": factors(48, 1.0, 0.3)}),
    "llama-v5": llama(rope_scaling={"rope_type": "linear", "factor": 2.0}, rope_theta=50000.0),
    "mistral-window": mistral(sliding_window=16),
    "qwen2": qwen2(tie_word_embeddings=True, num_attention_heads=2, num_key_value_heads=2),
    "qwen2-window": qwen2(use_sliding_window=True, sliding_window=16, max_window_layers=1,
                          num_attention_heads=2, num_key_value_heads=1),
    "qwen3": qwen3(),
    "starcoder2": starcoder2(),
    "phi": phi(),
    "stablelm": stablelm(use_qkv_bias=True),
    "stablelm-parallel": stablelm(hidden_size=640, use_parallel_residual=True, qk_layernorm=True),
    "cohere": cohere(),
    "cohere-qk-norm": cohere(use_qk_norm=True),
    "olmo2": olmo2(),
    "granite": granite(),
    "falcon-7b": falcon(multi_query=True, parallel_attn=True, new_decoder_architecture=False),
    "falcon-40b": falcon(new_decoder_architecture=True, num_kv_heads=2),
    "falcon-rw": falcon(alibi=True, multi_query=False, parallel_attn=False, bias=True,
                        new_decoder_architecture=False),
    "internlm": internlm(),
    "internlm-20b": internlm(bias=False, rotary={"base": 20000, "type": "dynamic"},
                             max_position_embeddings=64),
    "internlm2": internlm2(),
    "internlm3": internlm3(),
    "yi-ln": {**without_head_dim(BASE), "architectures": ["YiForCausalLM"], "model_type": "Yi",
              "hidden_size": 256},
    "qwen": qwen(),
    "qwen-plain": qwen(use_dynamic_ntk=False, use_logn_attn=False),
    "chatglm2": chatglm(),
    "chatglm2-32k": chatglm(rope_ratio=4.0, _name_or_path="THUDM/chatglm2-6b-32k"),
    "glm4-chat": chatglm(architectures=["ChatGLMForConditionalGeneration"], rope_ratio=500,
                         layernorm_epsilon=1.5625e-7),
    "glm": glm(),
    "glm4": glm4(),
    "gemma": gemma(),
    "gemma2": gemma2(),
    "phi3": phi3(),
    "phi3-longrope": phi3(num_key_value_heads=2, sliding_window=4096, max_position_embeddings=512,
                          original_max_position_embeddings=64, rope_scaling={
                              "type": "su", "short_factor": factors(48, 1.0, 0.02),
                              "long_factor": factors(48, 1.0, 0.3)}),
    "gemma3": gemma3(),
    "gemma3-v5": gemma3(rope_scaling={"rope_type": "linear", "factor": 8.0},
                        final_logit_softcapping=6.0),
}
SAVED_BY_TRANSFORMERS = {"llama-v5", "gemma3-v5"}
RULES = {"gemma3_text": GEMMA_STDDEV, "gemma": GEMMA_STDDEV, "gemma2": GEMMA_STDDEV,
         "starcoder2": LAYER_NORM_STDDEV, "phi": LAYER_NORM_STDDEV,
         "stablelm": LAYER_NORM_STDDEV, "falcon": LAYER_NORM_STDDEV, "cohere": COHERE_STDDEV,
         "granite": GRANITE_STDDEV}  # by model_type; STDDEV where absent


def scaled_rules(config):
    rules = RULES.get(config.model_type, STDDEV)
    shrink = (BASE["hidden_size"] / config.hidden_size) ** 0.5
    matrices = ("proj.weight", "lm_head.weight")
    return [[name, mean, stddev * shrink if name.endswith(matrices) else stddev]
            for name, mean, stddev in rules]


def native_config(values, layout):
    """Of the class that computes what the published code does."""
    config_class = getattr(transformers, layout.native_class).config_class
    native = {**values, **layout.native_config(values), "architectures": [layout.native_class],
              "model_type": config_class.model_type}
    native.pop("auto_map", None)
    attention = native.pop("attention", "eager")
    config = config_class.from_dict(copy.deepcopy(native))
    config._attn_implementation = attention
    return config


def make_config(name, values):
    """The transformers configuration and the text of config.json."""
    if layout := LAYOUTS.get(values["architectures"][0]):
        return native_config(values, layout), values
    config_class = transformers.CONFIG_MAPPING[values["model_type"]]
    understood = copy.deepcopy(values)
    if length := values.get("original_max_position_embeddings"):  # Phi-3's place for it
        understood["rope_scaling"].update(original_max_position_embeddings=length)
    config = config_class.from_dict(understood)
    # Falcon's eager attention adds ALiBi twice in transformers 5: once in the mask.
    config._attn_implementation = "sdpa" if values.get("alibi") else "eager"
    if name in SAVED_BY_TRANSFORMERS:
        return config, json.loads(config.to_json_string(use_diff=True))
    return config, values


def rule(rules, name):
    for candidate in rules:
        if name.endswith(candidate[0]):
            return candidate
    sys.exit(f"no rule says how large the numbers of {name} are: see STDDEV and RULES")


def build(config, rules, layout):
    """An fp32 model with the hash's weights, and the published tensors' shapes."""
    model_class = getattr(transformers, config.architectures[0])
    model = model_class(config).eval().to(torch.float32)
    native = {name: parameter.shape for name, parameter in model.named_parameters()}
    shapes = layout.published_shapes(native) if layout else {n: list(s) for n, s in native.items()}
    tensors = {}
    for name, shape in shapes.items():
        _, mean, stddev = rule(rules, name)
        tensors[name] = torch.from_numpy(random_tensor(name, shape, mean, stddev))
    if layout:
        tensors = layout.native_tensors(native, tensors, config.num_key_value_heads)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])
    return model, shapes


def prompt_ids(name, length, vocab):
    values = hash_normal(hash_name(f"prompt {name} {length}"), np.arange(length, dtype=np.uint64))
    return (np.abs(values * 1e6).astype(np.int64) % vocab).tolist()


def run(fp32_model, dtype, prompts, prepare):
    """Logits of the kept rows. A fresh model each: dynamic scaling remembers the longest prompt."""
    rows = []
    for prompt in prompts:
        model = copy.deepcopy(fp32_model).to(dtype)
        prepare(model, len(prompt["ids"]))
        with torch.no_grad():
            logits = model(torch.tensor([prompt["ids"]]), use_cache=False).logits[0].float().numpy()
        rows.append(logits[prompt["rows"]])
    return np.concatenate(rows)


def write(name, config_json, rules, shapes, prompts, logits):
    """The golden's files, of logits(dtype) of the kept rows; what is to be said of it."""
    exact = logits(torch.float32)
    errors = {}
    for dtype in (torch.bfloat16, torch.float16):
        difference = logits(dtype) - exact
        errors[str(dtype).removeprefix("torch.")] = {
            "max": float(np.abs(difference).max()), "rms": float(np.sqrt((difference**2).mean()))}
    used = [r for r in rules if any(rule(rules, tensor) is r for tensor in shapes)]
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_json, indent=1) + "\n")
    golden = {"transformers": transformers.__version__, "stddev": used, "tensors": shapes,
              "prompts": prompts, "errors": errors}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    exact.astype("<f4").tofile(folder / "logits.f32")
    return (f"{name}: logits stddev {exact.std():.2f}, max error bfloat16 {errors['bfloat16']['max']:.3f} "
            f"float16 {errors['float16']['max']:.3f}")


def make(name):
    config, config_json = make_config(name, VARIANTS[name])
    layout = LAYOUTS.get(config_json["architectures"][0])
    rules = [*(layout.rules if layout else []), *scaled_rules(config)]
    prompts = []
    for length in LENGTHS:
        rows = sorted(set(np.linspace(0, length - 1, min(ROWS, length)).astype(int).tolist()))
        prompts.append({"ids": prompt_ids(name, length, config.vocab_size), "rows": rows})
    model, shapes = build(config, rules, layout)

    def prepare(model, length):
        if layout and layout.prepare:
            layout.prepare(model, config_json, length)

    print(write(name, config_json, rules, shapes, prompts, lambda dtype: run(model, dtype, prompts, prepare)))


def main():
    torch.set_num_threads(2)
    for name in sys.argv[1:] or VARIANTS:
        make(name)


if __name__ == "__main__":
    main()
