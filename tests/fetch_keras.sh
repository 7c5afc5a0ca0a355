#!/usr/bin/env bash
# Puts a Python with Keras (on JAX), h5py and onnxruntime into target/python and prints the path of its interpreter.
#
# Tests that hold files against Keras and onnxruntime run in it. All of it comes from PyPI; nothing of it is part of this
# project.
set -euo pipefail
cd "$(dirname "$0")/.."
packages="keras==3.15.1 jax==0.10.2 h5py==3.16.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1"
folder=target/python/$(python3 -c 'import hashlib, sys; print(hashlib.sha256(sys.argv[1].encode()).hexdigest()[:16])' "$packages")
if [ ! -e "$folder/bin/python" ]; then
  mkdir -p target/python
  trap 'rm -rf "$folder.new"' EXIT
  rm -rf "$folder.new"
  python3 -m venv "$folder.new" >&2
  "$folder.new/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: $packages >&2
  mv "$folder.new" "$folder"
fi
echo "$PWD/$folder/bin/python"
