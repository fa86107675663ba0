#!/bin/bash
# The CPU table of bench/README.md in one command: installs OpenVINO GenAI, builds llama.cpp from the
# source that PyPI's llama-cpp-python holds (about ten minutes on two cores), builds lmdeploy, fetches
# the models, and runs bench/peers/cpu.py with the arguments given (`cpu.sh --help` lists them).
#
#   LMDEPLOY_BIN=FILE  a program that is built already
#   LLAMA_FLAGS=...    CMake flags of llama.cpp instead of -DGGML_NATIVE=ON (delete build/peers/llama.cpp*/ first)
#   RUN_WITH=...       a command before every measured one
# `cpu.sh --no-amx ...` keeps every engine from using AMX: what to expect of AVX-512 VNNI and BF16.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LLAMA_CPP_PYTHON=0.3.36 OPENVINO_GENAI=2026.4.1.0
openvino=2026.4.1
peers=$PWD/build/peers
sources=$peers/llama_cpp_python-$LLAMA_CPP_PYTHON/vendor/llama.cpp
mkdir -p "$peers"

install_openvino() {
  [ -x "$peers/openvino/bin/python" ] || python3 -m venv "$peers/openvino"
  "$peers/openvino/bin/python" -m pip install --quiet "openvino-genai==$OPENVINO_GENAI" \
    "openvino-tokenizers==$OPENVINO_GENAI" "openvino==$openvino" numpy==2.4.6
}

# GCC 12's _tile_loadconfig tells the compiler that it reads 8 bytes, so that the stores to the rest of
# llama.cpp's tile configuration are dropped and every product on AMX dies; a barrier keeps them.
unpack_llama() {
  [ -d "$sources" ] && return
  python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python -d "$peers" \
    "llama-cpp-python==$LLAMA_CPP_PYTHON"
  tar xf "$peers/llama_cpp_python-$LLAMA_CPP_PYTHON.tar.gz" -C "$peers"
  sed -i 's/^    _tile_loadconfig(&tc);/    __asm__ volatile("" : : "r"(\&tc) : "memory");\n&/' \
    "$sources/ggml/src/ggml-cpu/amx/mmq.cpp"
}

build_llama() {
  local build=$peers/llama.cpp driver=$peers/llama_cpp_driver flags=
  if [[ " $* " == *" --no-amx "* ]]; then
    build+=-no-amx driver+=_no_amx flags="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
  fi
  # shellcheck disable=SC2086 # flags are words
  cmake -S "$sources" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release ${LLAMA_FLAGS:--DGGML_NATIVE=ON} \
    -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" \
    -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TESTS=OFF >"$peers/cmake.log" 2>&1
  ninja -C "$build" llama >"$peers/build.log"
  g++ -O2 -std=c++20 -I"$sources/include" -I"$sources/ggml/include" bench/peers/llama_cpp_driver.cc \
    -o "$driver" "$build/src/libllama.a" "$build"/ggml/src/libggml{,-cpu,-base}.a -fopenmp -ldl
}

install_openvino
unpack_llama
build_llama "$@"
if [ -z "${LMDEPLOY_BIN:-}" ]; then
  [ -f build/cpu/build.ninja ] || cmake --preset cpu >"$peers/cmake.log"
  ninja -C build/cpu lmdeploy >"$peers/build.log"
  export LMDEPLOY_BIN=$PWD/build/cpu/bin/lmdeploy
fi
tools/fetch_models.py smollm2 gemma3 >/dev/null
exec python3 bench/peers/cpu.py "$@"
