#!/usr/bin/env bash
# All tests: unit tests, gradient checks, parity, goldens, planted faults, the command, training runs, doc examples, and
# the CUDA backend on a GPU in software.
#
# A test that cannot run fails; HANDGRAD_REQUIRE_ALL=0 lets it skip aloud. The processor's code is tested on every
# instruction set that the machine has; HANDGRAD_ISA=avx2 (or avx512, portable) makes it the default of everything else
# as well. HANDGRAD_FASHION_MNIST=DIR adds the runs that need Fashion-MNIST. CUDA kernels are compiled by NVRTC, which is
# fetched into target/, and run by tests/softgpu; HANDGRAD_TEST_GPU=1 runs them on this machine's GPU instead. Files are
# held against Keras in a Python that is fetched into target/ too, or in the one that HANDGRAD_KERAS_PYTHON names.
set -euo pipefail
cd "$(dirname "$0")/.."
export HANDGRAD_REQUIRE_ALL=${HANDGRAD_REQUIRE_ALL:-1}
if [ -z "${HANDGRAD_NVRTC:-}" ] && [ "$(uname -s)" = Linux ]; then
  if ! HANDGRAD_NVRTC=$(bash tests/fetch_nvrtc.sh); then
    echo "NVRTC could not be fetched: the CUDA tests need it." >&2
    echo "  hint: fetching needs a network and pip (Debian: python3-pip); or give the library's path in HANDGRAD_NVRTC," >&2
    echo "        or skip those tests with HANDGRAD_REQUIRE_ALL=0" >&2
    [ "$HANDGRAD_REQUIRE_ALL" != 1 ] || exit 1
    unset HANDGRAD_NVRTC
  else
    export HANDGRAD_NVRTC LD_LIBRARY_PATH=${HANDGRAD_NVRTC%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  fi
fi
if [ -z "${HANDGRAD_KERAS_PYTHON:-}" ]; then
  if ! HANDGRAD_KERAS_PYTHON=$(bash tests/fetch_keras.sh); then
    echo "Keras could not be fetched: the tests of files need it." >&2
    echo "  hint: fetching needs a network, and Python 3.11 or newer with venv and pip (Debian: python3-venv); or name a" >&2
    echo "        Python that has Keras in HANDGRAD_KERAS_PYTHON, or skip those tests with HANDGRAD_REQUIRE_ALL=0" >&2
    [ "$HANDGRAD_REQUIRE_ALL" != 1 ] || exit 1
    unset HANDGRAD_KERAS_PYTHON
  else
    export HANDGRAD_KERAS_PYTHON
  fi
fi
export HANDGRAD_CACHE=${HANDGRAD_CACHE:-$PWD/target/handgrad-cache}
cargo test --workspace "$@"
