#!/usr/bin/env bash
# All tests: unit tests, gradient checks, parity, goldens, planted faults, the command, training runs, doc examples.
#
# The processor's code is tested on every instruction set that the machine has; HANDGRAD_ISA=avx2 (or avx512,
# portable) makes it the default of everything else as well. HANDGRAD_REQUIRE_ALL=1 turns skips into failures.
# HANDGRAD_FASHION_MNIST=DIR adds the runs that need Fashion-MNIST.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --workspace "$@"
