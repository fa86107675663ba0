"""Checkpoints whose published modelling code is not part of transformers: which class of transformers
computes the same, how its configuration follows from the published one, and how the published tensors
become its own. make_golden.py uses them.
"""
import dataclasses
import math
import re

import torch
import transformers
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2.modeling_qwen2 import eager_attention_forward

STACKED, BY_KV_HEAD = "stacked", "by kv head"


@dataclasses.dataclass
class Layout:
    native_class: str
    native_config: callable  # of the published configuration: keys that the native one wants
    renames: dict = dataclasses.field(default_factory=dict)  # native part of a name: published
    fused: dict = dataclasses.field(default_factory=dict)  # published name: (native names, how)
    prepare: callable = None  # (model, published configuration, tokens of the prompt)
    rules: list = dataclasses.field(default_factory=list)  # make_golden.STDDEV of the published names

    def published_name(self, native):
        """And, of a fused tensor, which of its parts it is."""
        for published, (parts, _) in self.fused.items():
            for index, part in enumerate(parts):
                if f".{part}." in native:
                    return self.renamed(native.replace(part, published)), index
        return self.renamed(native), 0

    def renamed(self, name):
        for native, published in self.renames.items():
            name = re.sub(rf"(^|(?<=\.)){re.escape(native)}(?=\.)", published, name)
        return name

    def how(self, published):
        return next((how for name, (_, how) in self.fused.items() if f".{name}." in published), None)

    def groups(self, native_shapes):
        """{published name: [(native name, shape), ...]}"""
        groups = {}
        for native, shape in native_shapes.items():
            published, index = self.published_name(native)
            groups.setdefault(published, {})[index] = (native, list(shape))
        return {name: [parts[i] for i in sorted(parts)] for name, parts in groups.items()}

    def published_shapes(self, native_shapes):
        return {name: [sum(shape[0] for _, shape in parts), *parts[0][1][1:]]
                for name, parts in self.groups(native_shapes).items()}

    def native_tensors(self, native_shapes, published, kv_heads):
        """The native tensors of the published ones."""
        tensors = {}
        for name, parts in self.groups(native_shapes).items():
            whole = published[name]
            if self.how(name) == BY_KV_HEAD:
                rows = [shape[0] // kv_heads for _, shape in parts]
                of_head = whole.view(kv_heads, -1, *whole.shape[1:]).split(rows, dim=1)
                pieces = [piece.reshape(shape) for piece, (_, shape) in zip(of_head, parts)]
            else:
                pieces = whole.split([shape[0] for _, shape in parts])
            tensors.update({native: piece for (native, _), piece in zip(parts, pieces)})
        return tensors


QKV = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]


def internlm_config(published):
    native = {"attention_bias": published["bias"]}
    if rotary := published.get("rotary"):
        native["rope_theta"] = rotary["base"]
        if rotary["type"] == "dynamic":
            native["rope_scaling"] = {"rope_type": "dynamic",
                                      "factor": rotary.get("scaling_factor", 1.0)}
    return native


INTERNLM = Layout("LlamaForCausalLM", internlm_config)

INTERNLM2 = Layout(
    "LlamaForCausalLM", lambda published: {},
    renames={"model.embed_tokens": "model.tok_embeddings", "lm_head": "output",
             "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
             "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
             "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2"},
    fused={"attention.wqkv": (QKV, BY_KV_HEAD)},
    rules=[["wqkv.weight", 0, 0.1], ["wo.weight", 0, 0.05], ["w1.weight", 0, 0.09],
           ["w3.weight", 0, 0.07], ["w2.weight", 0, 0.07], ["tok_embeddings.weight", 0, 0.4],
           ["output.weight", 0, 0.2]])


def logn_attention(module, query, key, value, mask, **options):
    """Queries at position p beyond the training length N are multiplied by log(p + 1) / log(N)."""
    length = module.config.logn_length
    positions = torch.arange(1, query.shape[2] + 1, dtype=torch.float64)
    scale = torch.clamp(torch.log(positions) / math.log(length), min=1.0)
    query = query * scale.to(query.dtype)[None, None, :, None]
    return eager_attention_forward(module, query, key, value, mask, **options)


ALL_ATTENTION_FUNCTIONS.register("logn", logn_attention)
# Masks as for eager attention.
transformers.masking_utils.ALL_MASK_ATTENTION_FUNCTIONS.register(
    "logn", transformers.masking_utils.ALL_MASK_ATTENTION_FUNCTIONS["eager"])


def qwen_config(published):
    return {"intermediate_size": published["intermediate_size"] // 2,
            "rms_norm_eps": published["layer_norm_epsilon"],
            "rope_theta": published["rotary_emb_base"], "hidden_act": "silu",
            "num_key_value_heads": published["num_attention_heads"],
            "logn_length": published["seq_length"],
            "attention": "logn" if published["use_logn_attn"] else "eager"}


def qwen_frequencies(model, published, length):
    """Qwen's own dynamic NTK: a base for each doubling of the length."""
    if not published["use_dynamic_ntk"]:
        return
    doublings = math.ceil(math.log2(length / published["seq_length"]) + 1)
    alpha = max(2**doublings - 1, 1)
    size = published["kv_channels"]
    base = published["rotary_emb_base"] * alpha ** (size / (size - 2))
    inverse = 1.0 / base ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
    model.model.rotary_emb.inv_freq = inverse.float()


QWEN = Layout(
    "Qwen2ForCausalLM", qwen_config,
    renames={"model.embed_tokens": "transformer.wte", "model.layers": "transformer.h",
             "model.norm": "transformer.ln_f", "input_layernorm": "ln_1",
             "post_attention_layernorm": "ln_2", "self_attn.o_proj": "attn.c_proj",
             "mlp.up_proj": "mlp.w1", "mlp.gate_proj": "mlp.w2", "mlp.down_proj": "mlp.c_proj"},
    fused={"attn.c_attn": (QKV, STACKED)}, prepare=qwen_frequencies,
    rules=[["c_attn.weight", 0, 0.1], ["c_attn.bias", 0, 0.5], ["attn.c_proj.weight", 0, 0.05],
           ["w1.weight", 0, 0.07], ["w2.weight", 0, 0.09], ["mlp.c_proj.weight", 0, 0.07],
           ["wte.weight", 0, 0.4], ["ln_1.weight", 1, 0.2], ["ln_2.weight", 1, 0.2],
           ["ln_f.weight", 1, 0.2], ["lm_head.weight", 0, 0.2]])


def chatglm_rope(published):
    """ChatGLM 2's own code divides positions by rope_ratio; that of 3 and GLM-4 stretches the base."""
    ratio = published.get("rope_ratio", 1.0)
    if "chatglm2" in published.get("_name_or_path", "") and ratio != 1.0:
        return {"rope_theta": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": ratio}}
    return {"rope_theta": 10000.0 * ratio}


def chatglm_config(published):
    return {"num_hidden_layers": published["num_layers"], "head_dim": published["kv_channels"],
            "num_key_value_heads": published["multi_query_group_num"],
            "intermediate_size": published["ffn_hidden_size"],
            "rms_norm_eps": published["layernorm_epsilon"],
            "vocab_size": published["padded_vocab_size"],
            "max_position_embeddings": published["seq_length"], "hidden_act": "silu",
            **chatglm_rope(published),
            "attention_bias": published["add_qkv_bias"], "pad_token_id": 0}


CHATGLM = Layout(
    "GlmForCausalLM", chatglm_config,
    renames={"model.embed_tokens": "transformer.embedding.word_embeddings",
             "model.layers": "transformer.encoder.layers",
             "model.norm": "transformer.encoder.final_layernorm",
             "lm_head": "transformer.output_layer", "self_attn.o_proj": "self_attention.dense",
             "mlp.gate_up_proj": "mlp.dense_h_to_4h", "mlp.down_proj": "mlp.dense_4h_to_h"},
    fused={"self_attention.query_key_value": (QKV, STACKED)},
    rules=[["query_key_value.weight", 0, 0.1], ["query_key_value.bias", 0, 0.5],
           ["dense.weight", 0, 0.05], ["dense_h_to_4h.weight", 0, 0.08],
           ["dense_4h_to_h.weight", 0, 0.07], ["word_embeddings.weight", 0, 0.4],
           ["output_layer.weight", 0, 0.2]])

INTERNLM3 = Layout("LlamaForCausalLM", lambda published: {"attention_bias": published["bias"]})

YI = Layout("LlamaForCausalLM", lambda published: {},
            renames={"input_layernorm": "ln1", "post_attention_layernorm": "ln2"},
            rules=[["ln1.weight", 1, 0.2], ["ln2.weight", 1, 0.2]])

LAYOUTS = {"InternLMForCausalLM": INTERNLM, "InternLM2ForCausalLM": INTERNLM2,
           "InternLM3ForCausalLM": INTERNLM3,
           "QWenLMHeadModel": QWEN, "ChatGLMModel": CHATGLM,
           "ChatGLMForConditionalGeneration": CHATGLM, "YiForCausalLM": YI}
