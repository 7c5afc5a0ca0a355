#!/usr/bin/env bash
# Makes docs/kernels.md: what the compiler says of every CUDA kernel, and what the software GPU counts. Needs no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
HANDGRAD_NVRTC=$(bash tests/fetch_nvrtc.sh)
export HANDGRAD_NVRTC HANDGRAD_CUDA_DRIVER=${CARGO_TARGET_DIR:-$PWD/target}/release/libsoftgpu.so
export LD_LIBRARY_PATH=${HANDGRAD_NVRTC%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
mkdir -p docs
cargo build --release -p softgpu
cargo run --release -- bench --kernels --device cuda:0 --markdown docs/kernels.md
