#!/usr/bin/env python3
"""Dequantizes a GGUF file into a Hugging Face directory: config.json, bfloat16 model.safetensors,
generation_config.json and, for the SmolLM2 vocabulary, tokenizer.json and tokenizer_config.json.

usage: gguf_to_hf.py MODEL.gguf DIRECTORY [--dtype bfloat16|float32]

Needs numpy and gguf (PyPI). Architectures: llama, gemma3 (text).
"""
import argparse
import json
import pathlib
import struct
import sys

import numpy as np
from gguf import GGUFReader, dequantize

from hash_random import to_bf16_bits

MODEL_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
NORM_NAMES = {
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "gemma3": {"post_attention_norm": "post_attention_layernorm",
               "ffn_norm": "pre_feedforward_layernorm",
               "post_ffw_norm": "post_feedforward_layernorm"}}
CONTROL = 3  # token type


def hf_name(architecture, name):
    stem, suffix = name.rsplit(".", 1)
    if stem in MODEL_NAMES:
        return f"{MODEL_NAMES[stem]}.{suffix}"
    _, layer, part = stem.split(".", 2)
    return f"model.layers.{layer}.{ {**LAYER_NAMES, **NORM_NAMES[architecture]}[part] }.{suffix}"


def split_halves(weight, heads):
    """Rows of each head from interleaved order (i, half) back to (half, i)."""
    rows = weight.shape[0]
    pairs = weight.reshape(heads, rows // heads // 2, 2, *weight.shape[1:])
    return pairs.swapaxes(1, 2).reshape(weight.shape)


class Source:
    """A GGUF file's metadata under its architecture's prefix."""

    def __init__(self, path):
        self.reader = GGUFReader(path)
        self.architecture = self.get("general.architecture")
        if self.architecture not in NORM_NAMES:
            sys.exit(f"{path}: architecture '{self.architecture}'; known are {', '.join(NORM_NAMES)}")

    def get(self, key, otherwise=None):
        field = self.reader.fields.get(key)
        return otherwise if field is None else field.contents()

    def arch(self, key, otherwise=None):
        return self.get(f"{self.architecture}.{key}", otherwise)


def shortest(value):
    return float(str(np.float32(value)))


def build_config(source, dtype):
    heads = source.arch("attention.head_count")
    shapes = {tensor.name: tensor.shape for tensor in source.reader.tensors}
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": dtype,
        "hidden_size": source.arch("embedding_length"),
        "intermediate_size": source.arch("feed_forward_length"),
        "num_hidden_layers": source.arch("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": source.arch("attention.head_count_kv", heads),
        "head_dim": source.arch("attention.key_length", source.arch("embedding_length") // heads),
        "max_position_embeddings": source.arch("context_length"),
        "rms_norm_eps": shortest(source.arch("attention.layer_norm_rms_epsilon")),
        "rope_theta": shortest(source.arch("rope.freq_base", 10000.0)), "rope_scaling": None,
        "vocab_size": int(shapes["token_embd.weight"][1]),
        "tie_word_embeddings": "output.weight" not in shapes,
        "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
        "bos_token_id": source.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": source.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": source.get("tokenizer.ggml.padding_token_id")}
    if source.architecture == "gemma3":
        del config["hidden_act"], config["mlp_bias"]
        config.update(
            architectures=["Gemma3ForCausalLM"], model_type="gemma3_text",
            hidden_activation="gelu_pytorch_tanh", rope_local_base_freq=10000.0,
            query_pre_attn_scalar=config["head_dim"],
            sliding_window=source.arch("attention.sliding_window"), sliding_window_pattern=6)
    return config


def tensors_of(source, config):
    """(name, float32 array) of every tensor in Hugging Face's layout."""
    for tensor in source.reader.tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        name = hf_name(source.architecture, tensor.name)
        if source.architecture == "llama" and ".q_proj." in name:
            values = split_halves(values, config["num_attention_heads"])
        elif source.architecture == "llama" and ".k_proj." in name:
            values = split_halves(values, config["num_key_value_heads"])
        elif source.architecture == "gemma3" and name.endswith("norm.weight"):
            values = values - np.float32(1.0)
        yield name, values


def write_safetensors(path, source, config, dtype):
    """Two passes: the header needs every size before the first byte of data."""
    width = 2 if dtype == "bfloat16" else 4
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for tensor in source.reader.tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        end = offset + int(np.prod(shape)) * width
        header[hf_name(source.architecture, tensor.name)] = {
            "dtype": "BF16" if width == 2 else "F32", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, values in tensors_of(source, config):
            file.write((to_bf16_bits(values) if width == 2 else values).tobytes())


def write_tokenizer(directory, source):
    """SmolLM2's byte-level BPE; other vocabularies need their own tokenizer.json."""
    if source.get("tokenizer.ggml.pre") != "smollm":
        print("no tokenizer.json is written: the vocabulary is not SmolLM2's")
        return
    tokens = source.get("tokenizer.ggml.tokens")
    types = source.get("tokenizer.ggml.token_type")
    added = [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True}
             for i, (token, kind) in enumerate(zip(tokens, types)) if kind == CONTROL]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(tokens)},
                  "merges": source.get("tokenizer.ggml.merges")}}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": source.arch("context_length"),
        "chat_template": source.get("tokenizer.chat_template")}
    for role, key in (("bos_token", "bos_token_id"), ("eos_token", "eos_token_id"),
                      ("unk_token", "unknown_token_id"), ("pad_token", "padding_token_id")):
        if (index := source.get(f"tokenizer.ggml.{key}")) is not None:
            settings[role] = tokens[index]
    write_json(directory / "tokenizer.json", tokenizer)
    write_json(directory / "tokenizer_config.json", settings)


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    args = parser.parse_args()
    source = Source(args.gguf)
    config = build_config(source, args.dtype)
    args.directory.mkdir(parents=True, exist_ok=True)
    write_json(args.directory / "config.json", config)
    write_json(args.directory / "generation_config.json",
               {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")
                if config[key] is not None})
    write_tokenizer(args.directory, source)
    write_safetensors(args.directory / "model.safetensors", source, config, args.dtype)


if __name__ == "__main__":
    main()
