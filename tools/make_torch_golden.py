"""Writes tests/data/checkpoint/torch/*.bin: files as torch.save and transformers write them.

Element i of every tensor is i (bools: i odd). tests/checkpoint/torch_file_test.cc says what each file must
give. Run: python tools/make_torch_golden.py (needs torch).
"""
import collections
import pathlib

import torch

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/data/checkpoint/torch"
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16,
          torch.int8, torch.uint8, torch.bool]


def count(*shape, dtype=torch.float32):
    size = 1
    for extent in shape:
        size *= extent
    return torch.arange(size).to(dtype).reshape(shape) if dtype != torch.bool else (torch.arange(size) % 2 == 1).reshape(shape)


def dtypes():
    return {str(dtype).removeprefix("torch."): count(2, 3, dtype=dtype) for dtype in DTYPES}


def module():
    """state_dict() is an OrderedDict with an attribute; the head is tied to the embedding."""
    model = torch.nn.Sequential(collections.OrderedDict(
        embed=torch.nn.Embedding(4, 8), norm=torch.nn.LayerNorm(8), head=torch.nn.Linear(8, 4, bias=False)))
    model.head.weight = model.embed.weight
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(count(*parameter.shape))
    return model


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.save(dtypes(), FOLDER / "dtypes.bin")
    torch.save(module().state_dict(), FOLDER / "module.bin")
    torch.save(collections.OrderedDict(p=torch.nn.Parameter(count(3))), FOLDER / "parameter.bin")
    whole = count(4, 6)
    torch.save({"rows": whole[1:3], "flat": whole.view(-1)[5:9], "scalar": count(1).reshape(()),
                "empty": torch.empty(0, 5), "column": count(3, 1).t()}, FOLDER / "views.bin")
    torch.save({"ok": count(2), "transposed": whole.t(), "every_second": whole[:, ::2]}, FOLDER / "strided.bin")
    torch.save({"a": count(2)}, FOLDER / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"a": count(2), "epoch": 3}, FOLDER / "training.bin")
    torch.save(module(), FOLDER / "whole_module.bin")
    torch.save({"a": count(2)}, FOLDER / "protocol4.bin", pickle_protocol=4)


if __name__ == "__main__":
    main()
