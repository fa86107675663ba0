#!/bin/bash
# What a GPU machine checks and measures, each in under 8 minutes, from two files copied there:
#
#   bench/gpu.sh check [DIR]   correctness: the CUDA tests, on Hopper's path and on the portable one,
#                              compute-sanitizer on the kernels (where it is installed)
#   bench/gpu.sh speed [DIR]   the bars of issue 4: models of real dimensions with random weights
#                              (bench/models), and a table with bar and verdict
#
# DIR holds `cuda_tests` and `lmdeploy` of the cuda-dev preset, stripped (default: build/gpu;
# `bench/gpu.sh pack` makes it); where `attention_cuda_bench` and `decode_loop_cuda_bench` are there
# too, `speed` has their rows. Logs and results: $OUT, or DIR. SHAREGPT_TRIALS (default 1): runs of
# the 3,000 requests, some 150 s for both models.
set -uo pipefail
cd "$(dirname "$0")/.."
mode=${1:-}
dir=${2:-build/gpu}
out=${OUT:-$dir}
failed=0
library=$(find /usr/local /opt -name 'libcublasLt.so.1[23]' 2>/dev/null | head -1)
[ -z "$library" ] || export LD_LIBRARY_PATH="$(dirname "$library")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

pack() {
  mkdir -p "$dir"
  for file in tests/cuda_tests bin/lmdeploy bench/attention_cuda_bench bench/decode_loop_cuda_bench; do
    [ ! -e "build/cuda-dev/$file" ] || strip -o "$dir/$(basename "$file")" "build/cuda-dev/$file"
  done
  ls -l "$dir"
}

# NAME LIMIT COMMAND...: runs it for LIMIT seconds at most with its output in a log; its result, the
# seconds and the last line on the terminal.
step() {
  local name=$1 limit=$2 start=$SECONDS status
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  case $status in
    0) echo "ok     $name  $((SECONDS - start)) s  $(grep -aE 'PASSED|SUMMARY' "$out/$name.log" | tr '\n' ' ')" ;;
    124) failed=1; echo "ENDED  $name  not done after $limit s" ;;
    *)
      failed=1
      echo "FAILED $name  $((SECONDS - start)) s, exit code $status"
      grep -aE 'FAILED|Failure|ERROR|what\(\)|hazard|Invalid' -A6 "$out/$name.log" | head -40
      tail -3 "$out/$name.log"
      ;;
  esac
}

# NAME TOOL LIMIT FILTER: the tests of FILTER under a tool of compute-sanitizer.
sanitize() {
  local names
  names=$("$dir/cuda_tests" --gtest_list_tests --gtest_filter="$4" 2>/dev/null | grep -c '^  ')
  if [ "$names" -eq 0 ]; then
    failed=1
    echo "FAILED $1  no test is called $4"
    return
  fi
  step "$1" "$3" compute-sanitizer --tool "$2" --error-exitcode 9 "$dir/cuda_tests" --gtest_brief=1 \
    --gtest_filter="$4"
}

# NAME: every test, in four parts at once.
all_tests() {
  local part parts=()
  for part in 0 1 2 3; do
    (
      failed=0
      export GTEST_TOTAL_SHARDS=4 GTEST_SHARD_INDEX=$part
      step "$1_$part" 120 "$dir/cuda_tests" --gtest_brief=1
      exit $failed
    ) &
    parts+=($!)
  done
  for part in "${parts[@]}"; do wait "$part" || failed=1; done
}

check() {
  local attention='CudaAttention.PaddedRowsAreZeros:CudaAttention.GroupSizes'
  local sampling='CudaSampling.PaddingTouchesNothing:CudaSampling.BansTheEndOfAPhraseByTheLastToken'
  all_tests tests
  LMDEPLOY_CUDA_PATH=portable all_tests tests_portable
  if ! command -v compute-sanitizer >/dev/null; then
    echo "compute-sanitizer is not installed: memcheck and racecheck not run"
    return
  fi
  sanitize memcheck_engine memcheck 45 'CudaEngine.SmallMixOfRequests'
  sanitize memcheck_kernels memcheck 45 "$attention:$sampling:CudaMatmulPlans.EveryGatedPlanIsRight"
  sanitize racecheck_attention racecheck 40 "$attention"
  sanitize racecheck_sampling racecheck 35 "$sampling"
  sanitize racecheck_products racecheck 60 'CudaMatmulPlans.EveryGatedPlanIsRight'
}

# NAME MODEL ARGUMENTS...: one `lmdeploy bench generation`.
generation() {
  local name=$1 model=$2
  shift 2
  "$dir/lmdeploy" bench generation "bench/models/$model" --device cuda --load-format dummy "$@" \
    --csv "" --output-file "$out/$name.json" >"$out/$name.log" 2>&1 || { failed=1; tail -3 "$out/$name.log"; }
  echo "       $name at $SECONDS s"
}

# NAME MODEL ARGUMENTS...: 3,000 requests of ShareGPT's lengths, as often as asked for.
sharegpt() {
  local name=$1 model=$2 trial
  shift 2
  for trial in $(seq "${SHAREGPT_TRIALS:-1}"); do
    "$dir/lmdeploy" bench throughput "bench/models/$model" --device cuda --load-format dummy \
      --lengths bench/data/sharegpt_lengths.json -n 3000 "$@" --csv "" \
      --output-file "$out/$name-$trial.json" >"$out/$name-$trial.log" 2>&1 ||
      { failed=1; tail -3 "$out/$name-$trial.log"; }
    grep -E 'steps|engine thread' "$out/$name-$trial.log"
    echo "       $name $trial at $SECONDS s"
  done
}

# From the start of the program to the first token, of 13.5 GB of safetensors in the page cache.
first_token() {
  local model trial begin
  model=$(mktemp -d)
  if python3 tools/make_checkpoint.py bench/models/llama-2-7b "$model" >"$out/make_checkpoint.log" 2>&1; then
    cat "$model"/*.safetensors >/dev/null
    for trial in 1 2 3; do
      begin=$(date +%s%N)
      if "$dir/lmdeploy" debug logits "$model" --device cuda --input-ids 1 --greedy 1 >"$out/first_token.log" 2>&1; then
        echo "first token $((($(date +%s%N) - begin) / 1000000)) ms"
      else
        failed=1
      fi
    done >"$out/first_token.txt"
  else
    failed=1
    tail -3 "$out/make_checkpoint.log"
  fi
  rm -rf "$model"
  echo "       first_token at $SECONDS s"
}

# Of four runs of the same work in one process the first, which captures graphs, does not count.
speed() {
  nvidia-smi --query-gpu=name,clocks.sm,power.draw,power.limit --format=csv,noheader
  rm -f "$out"/{batch1,batch64,drawn,prefill,sharegpt,first_token,attention,loop,one_row}*.{json,txt}
  if [ -x "$dir/attention_cuda_bench" ]; then
    for part in decode prefill; do "$dir/attention_cuda_bench" $part bf16; done >"$out/attention.txt" 2>&1 || failed=1
  fi
  if [ -x "$dir/decode_loop_cuda_bench" ]; then
    "$dir/decode_loop_cuda_bench" bench/models/llama-2-7b 64 128 256 >"$out/loop.txt" 2>&1 || failed=1
    "$dir/decode_loop_cuda_bench" bench/models/llama-2-7b 1 128 384 >"$out/one_row.txt" 2>&1 || failed=1
    tail -2 "$out/one_row.txt"
  fi
  echo "       attention, loop at $SECONDS s"
  for model in llama-2-7b llama-3-8b smollm2-1.7b; do
    generation batch1-$model $model -c 1 1 1 1 -pt 1 -ct 512 -tr 1 -w 0
  done
  for model in llama-2-7b llama-3-8b; do
    generation batch64-$model $model -c 64 64 64 64 -pt 128 -ct 512 -tr 1 -w 0
  done
  generation drawn-llama-2-7b llama-2-7b -c 64 64 64 64 -pt 128 -ct 512 -tr 1 -w 0 --top-k 40 --top-p 0.8
  generation prefill-llama-3-8b llama-3-8b -c 1 1 1 1 -pt 8000 -ct 1 -tr 1 -w 0
  first_token
  sharegpt sharegpt-llama-3-8b llama-3-8b -c 1024
  sharegpt sharegpt-llama-2-7b llama-2-7b -c 512 --cache-max-entry-count 0.95
  python3 bench/gpu_bars.py "$out"
}

case $mode in
  pack) pack ;;
  check) check ;;
  speed) speed ;;
  *) sed -n '2,12p' "$0"; exit 2 ;;
esac
echo "$mode: $SECONDS s"
exit $failed
