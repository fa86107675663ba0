#!/bin/bash
# Builds llama.cpp natively (from the sdist of PyPI's llama-cpp-python, which holds its source) into
# build/peers/llama.cpp: llama-bench and llama-batched-bench. About ten minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.3.36
peers=$PWD/build/peers
mkdir -p "$peers" && cd "$peers"
if [ ! -d "llama_cpp_python-$version" ]; then
  python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python "llama-cpp-python==$version" -d .
  tar xf llama_cpp_python-$version.tar.gz
fi
cmake -S "llama_cpp_python-$version/vendor/llama.cpp" -B llama.cpp -G Ninja -DCMAKE_BUILD_TYPE=Release \
  ${LLAMA_FLAGS:--DGGML_NATIVE=ON} -DLLAMA_CURL=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TESTS=OFF -DBUILD_SHARED_LIBS=OFF >cmake.log
ninja -C llama.cpp llama-bench llama-batched-bench "$@"
