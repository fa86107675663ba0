#!/bin/bash
# What a GPU machine checks and measures, each in under 8 minutes, from two files copied there:
#
#   bench/gpu.sh check [DIR]   correctness: the CUDA tests, on Hopper's path and on the portable one,
#                              compute-sanitizer on the kernels (where it is installed)
#   bench/gpu.sh speed [DIR]   speed: models of real dimensions with random weights (bench/models)
#
# DIR holds `cuda_tests` and `lmdeploy` of the cuda-dev preset, stripped (default: build/gpu;
# `bench/gpu.sh pack` makes it). One result line a run; everything else goes to DIR/*.log.
set -uo pipefail
cd "$(dirname "$0")/.."
mode=${1:-}
dir=${2:-build/gpu}
failed=0

pack() {
  mkdir -p "$dir"
  for file in tests/cuda_tests bin/lmdeploy; do
    strip -o "$dir/$(basename "$file")" "build/cuda-dev/$file"
  done
  ls -l "$dir"
}

# NAME COMMAND...: runs it with its output in a log; the last line and the seconds on the terminal.
step() {
  local name=$1 start=$SECONDS
  shift
  if "$@" >"$dir/$name.log" 2>&1; then
    echo "ok     $name  $((SECONDS - start)) s  $(tail -1 "$dir/$name.log")"
  else
    failed=1
    echo "FAILED $name  $((SECONDS - start)) s"
    grep -E 'FAILED|Failure|ERROR|error|what\(\)' -A6 "$dir/$name.log" | head -40
    tail -5 "$dir/$name.log"
  fi
}

check() {
  local sanitizer
  step tests "$dir/cuda_tests" --gtest_brief=1
  LMDEPLOY_CUDA_PATH=portable step tests_portable "$dir/cuda_tests" --gtest_brief=1
  sanitizer=$(command -v compute-sanitizer || true)
  if [ -z "$sanitizer" ]; then
    echo "compute-sanitizer is not installed: memcheck and racecheck not run"
    return
  fi
  for tool in memcheck racecheck; do
    step $tool timeout 150 "$sanitizer" --tool $tool --error-exitcode 9 "$dir/cuda_tests" --gtest_brief=1 \
      --gtest_filter='*Small*'
  done
}

# MODEL NAME ARGUMENTS...: one `bench generation`, its block on the terminal.
generation() {
  local model=$1 name=$2
  shift 2
  echo "== $model $name"
  "$dir/lmdeploy" bench generation "bench/models/$model" --device cuda --load-format dummy "$@" \
    --csv "" --output-file "$dir/$model-$name.json" 2>"$dir/$model-$name.log" |
    grep -E 'tokens:|token latency|throughput|limit|steps|engine thread|failed' || { failed=1; tail -3 "$dir/$model-$name.log"; }
}

# MODEL ARGUMENTS...
throughput() {
  local model=$1
  shift
  echo "== $model ShareGPT lengths"
  "$dir/lmdeploy" bench throughput "bench/models/$model" --device cuda --load-format dummy \
    --lengths bench/data/sharegpt_lengths.json -n 3000 "$@" \
    --csv "" --output-file "$dir/$model-sharegpt.json" 2>"$dir/$model-sharegpt.log" |
    grep -E 'elapsed|throughput|RPS|limit|steps|engine thread|failed' || { failed=1; tail -3 "$dir/$model-sharegpt.log"; }
}

speed() {
  nvidia-smi --query-gpu=name,clocks.sm,power.limit --format=csv,noheader
  for model in llama-2-7b llama-3-8b smollm2-1.7b; do
    generation $model batch1 -c 1 -pt 1 -ct 512 -tr 3 -w 1
  done
  for model in llama-2-7b llama-3-8b; do
    generation $model batch64 -c 64 -pt 128 -ct 512 -tr 1 -w 1
  done
  throughput llama-2-7b -c 512 --cache-max-entry-count 0.95
  throughput llama-3-8b -c 1024
  generation llama-3-8b prefill8000 -c 1 -pt 8000 -ct 1 -tr 3 -w 1
}

case $mode in
  pack) pack ;;
  check) check ;;
  speed) speed ;;
  *) sed -n '2,11p' "$0"; exit 2 ;;
esac
exit $failed
