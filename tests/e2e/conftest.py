"""The program and the real models that end-to-end tests run on.

LMDEPLOY_BIN names the program (default: build/bin/lmdeploy). tools/fetch_models.py puts the models
into build/models.
"""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "build" / "models"


def model(name):
    path = MODELS / name
    if not path.exists():
        pytest.skip(f"{path} is missing; run tools/fetch_models.py")
    return str(path)


@pytest.fixture(scope="session")
def program():
    path = os.environ.get("LMDEPLOY_BIN", str(ROOT / "build" / "bin" / "lmdeploy"))
    assert os.access(path, os.X_OK), f"{path} is no program; run make build or set LMDEPLOY_BIN"
    return os.path.abspath(path)


@pytest.fixture(scope="session")
def smollm():
    """SmolLM2-135M-Instruct as one GGUF file."""
    return model("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="session")
def smollm_directory():
    """The same model as a Hugging Face directory."""
    return model("SmolLM2-135M-Instruct")
