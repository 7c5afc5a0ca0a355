#!/usr/bin/env bash
# For the day a GPU is there: the whole CUDA suite and every CUDA bench on it, and one report.
#
#   bash benches/gpu.sh pack DIR     where Rust is: builds tests and command, and puts all that they need into DIR
#   bash DIR/gpu.sh [REPORT]         where the GPU is: needs a driver and nothing else; writes REPORT (gpu-report.md)
#   bash benches/gpu.sh [REPORT]     both at once, on a machine that has both
#
# Takes under ten minutes; what is late is cut off and said. The programs need the same libc as where they were built.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

pack() {
  mkdir -p "$1"
  local to
  to=$(cd "$1" && pwd)
  cd "$here/.."
  cargo build --release --bin handgrad
  cp "${CARGO_TARGET_DIR:-target}/release/handgrad" "$to/"
  for test in cuda cuda_gemm allocations; do
    local program
    program=$(cargo test --release --test "$test" --no-run --message-format=json |
      python3 -c 'import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if m.get("executable") and m.get("target", {}).get("kind") == ["test"]:
        print(m["executable"])')
    cp "$program" "$to/test-$test"
  done
  local nvrtc
  nvrtc=$(dirname "$(bash tests/fetch_nvrtc.sh)")
  mkdir -p "$to/nvrtc"
  cp "$nvrtc/libnvrtc.so.12" "$nvrtc"/libnvrtc-builtins.so.* "$to/nvrtc/"
  ln -sf libnvrtc.so.12 "$to/nvrtc/libnvrtc.so"
  cp -r data kernels "$to/"
  cp "$here/gpu.sh" "$to/gpu.sh"
}

if [ "${1:-}" = pack ]; then
  pack "${2:?pack needs a folder}"
  exit
fi

report=$(realpath -m "${1:-gpu-report.md}")
if [ ! -x "$here/handgrad" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  pack "$folder"
  here=$folder
fi
cd "$here"
unset HANDGRAD_CUDA_DRIVER # the system's own
export HANDGRAD_TEST_GPU=1 HANDGRAD_REQUIRE_ALL=1 HANDGRAD_DATA=$here/data HANDGRAD_CACHE=$here/cache
export HANDGRAD_NVRTC=${HANDGRAD_NVRTC:-$here/nvrtc/libnvrtc.so.12}
export LD_LIBRARY_PATH=${HANDGRAD_NVRTC%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

failed=0
# run SECONDS TITLE COMMAND...: one section of the report.
run() {
  local limit=$1 title=$2 status=0
  shift 2
  printf '\n## %s\n\n```text\n' "$title" >>"$report"
  timeout "$limit" "$@" >>"$report" 2>&1 || status=$?
  printf '```\n' >>"$report"
  if [ $status = 124 ]; then
    printf '\nCut off after %s seconds.\n' "$limit" >>"$report"
  fi
  [ $status = 0 ] || failed=1
  printf '%s: %s\n' "$title" "$([ $status = 0 ] && echo passed || echo "failed ($status)")"
}

printf '# handgrad on a GPU, %s\n' "$(date -u +%Y-%m-%d)" >"$report"
run 20 "The device" ./handgrad devices
run 180 "Tests: ops, layers, steps, training runs" ./test-cuda --test-threads 1 --nocapture
run 30 "Tests: every rung of the ladder" ./test-cuda_gemm --test-threads 1 --nocapture
run 40 "Tests: a step allocates nothing" ./test-allocations
run 200 "Kernels: time, roofline, cuBLAS" ./handgrad bench --kernels --device cuda:0
run 40 "Training: mnist" ./handgrad train mnist --epochs 3 --verbose 2 --device cuda:0
run 40 "Training: mnist-mlp" ./handgrad train mnist-mlp --epochs 5 --verbose 2 --device cuda:0
run 40 "Training: mnist-lstm" ./handgrad train mnist-lstm --epochs 2 --verbose 2 --device cuda:0
echo "The report is $report."
exit $failed
