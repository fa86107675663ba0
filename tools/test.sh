#!/bin/bash
# Everything that a machine without a GPU can check, phase by phase with its time:
#   release build and tests, end to end tests with the real clients, the CUDA backend compiled (where
#   nvcc is), ASan + UBSan on the folders that read files and requests and on the scheduler, TSan where
#   threads meet.
# QUICK=1 leaves out the sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."
# Compiled files are found again by a clone in another directory; ccache also looks at the locale.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 LANG=C.UTF-8
unset LC_ALL LC_CTYPE LC_MESSAGES

phase() {
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@"
  echo "== $name: $((SECONDS - start)) s"
}

build() {  # PRESET TARGET...
  local preset=$1
  shift
  mkdir -p build
  cmake --preset "$preset" >"build/$preset.configure.log" 2>&1 || { cat "build/$preset.configure.log"; return 1; }
  cmake --build --preset "$preset" --target "$@" >"build/$preset.build.log" 2>&1 ||
    { grep -E -A5 'error|FAILED' "build/$preset.build.log" | head -60; return 1; }
}

run_ctest() {  # PRESET [ctest arguments]
  local preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j2 "$@" >"build/$preset.ctest.log" 2>&1 ||
    { grep -E -B2 -A40 'Failed|\*\*\*' "build/$preset.ctest.log" | tail -150; return 1; }
  grep -E 'tests passed|Total Test' "build/$preset.ctest.log"
}

end_to_end() {
  ln -sfn cpu/bin build/bin
  LMDEPLOY_BIN=$PWD/build/cpu/bin/lmdeploy build/venv/bin/python -m pytest -q -p no:cacheprovider tests/e2e
}

# Sanitized programs of tests/FOLDER, run one after the other.
sanitized() {  # PRESET FOLDER...
  local preset=$1
  shift
  export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
  build "$preset" $(printf '%s_tests ' "$@")
  # Tests that compare the bits of many large runs take minutes here and enter no code that others do not.
  for folder in "$@"; do
    "build/$preset/tests/${folder}_tests" --gtest_brief=1 --gtest_filter='-*DependOnCompany*:*DependOnItsCompany*'
  done
}

# Kernels for the oldest architecture with bf16 and for Hopper; the tests run on a GPU machine (bench/gpu.sh).
cuda() {
  if ! command -v nvcc >/dev/null; then
    echo "nvcc is not on this machine: the CUDA backend is not compiled"
    return
  fi
  build cuda-ci lmdeploy cuda_tests
}

models() {
  tools/fetch_models.py smollm2 gemma3
  [ -d build/models/SmolLM2-135M-Instruct ] ||
    build/venv/bin/python tools/gguf_to_hf.py build/models/SmolLM2-135M-Instruct.Q4_1.gguf build/models/SmolLM2-135M-Instruct
}

phase "setup" tools/setup.sh --tests
phase "models" models
phase "vocabularies" third_party/vocabularies.sh
phase "build (release)" build cpu all
phase "tests (release)" run_ctest cpu
phase "end to end" end_to_end
phase "cuda" cuda
if [ -z "${QUICK:-}" ]; then
  phase "asan + ubsan" sanitized asan base tensor checkpoint sched text http metrics
  phase "tsan" sanitized tsan base comm sched engine http metrics serve
fi
echo "all phases passed in $SECONDS s"
