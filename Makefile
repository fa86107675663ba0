# make demo    set up, build, fetch the default model, answer a prompt
# make test    set up, build, run every test that needs no GPU
# make build   build/bin/lmdeploy, with the CUDA backend where nvcc and a GPU are (PRESET=cuda-release, or cpu)
# make setup   packages the build and the tests need (apt, PyPI)
SHELL := /bin/bash
# Compiled files are found again by a clone in another directory; ccache also looks at the locale.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1
export LANG := C.UTF-8
unexport LC_ALL LC_CTYPE LC_MESSAGES
PRESET ?= $(shell command -v nvcc >/dev/null && nvidia-smi -L >/dev/null 2>&1 && echo cuda-release || echo cpu)
PROMPT ?= What is the capital of France? Answer in one sentence.
MODEL := build/models/SmolLM2-135M-Instruct.Q4_1.gguf

.PHONY: demo test build setup models clean

demo: build models
	build/bin/lmdeploy chat $(MODEL) --device cpu -p "$(PROMPT)"

build: setup
	cmake --preset $(PRESET) > build/$(PRESET).configure.log || { cat build/$(PRESET).configure.log; exit 1; }
	cmake --build --preset $(PRESET) --target lmdeploy
	ln -sfn $(PRESET)/bin build/bin

models: setup
	tools/fetch_models.py smollm2

test: setup
	tools/test.sh

setup:
	tools/setup.sh

clean:
	rm -rf build
