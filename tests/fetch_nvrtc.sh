#!/usr/bin/env bash
# Puts NVRTC, NVIDIA's run-time compiler for CUDA, into target/nvrtc and prints the path of the library.
#
# The tests compile every kernel with it. It needs no GPU and no driver. It is NVIDIA's own and comes from PyPI; nothing
# of it is part of this project.
set -euo pipefail
cd "$(dirname "$0")/.."
version=12.9.86
folder=target/nvrtc/$version
library=$folder/nvidia/cuda_nvrtc/lib/libnvrtc.so.12
if [ ! -e "$library" ]; then
  mkdir -p target/nvrtc
  new=$(mktemp -d target/nvrtc/new.XXXXXX)
  trap 'rm -rf "$new"' EXIT
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$new" \
    "nvidia-cuda-nvrtc-cu12==$version" >&2
  python3 -m zipfile -e "$new"/*.whl "$new/$version"
  rm -rf "$folder"
  mv "$new/$version" "$folder"
fi
# The name that is looked for first: with this folder in LD_LIBRARY_PATH, before any toolkit of the machine.
ln -sf libnvrtc.so.12 "$(dirname "$library")/libnvrtc.so"
echo "$PWD/$library"
