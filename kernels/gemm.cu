// The exact f32 matrix product that the engine runs on: C = f(α op(A) op(B) + β C + bias), row-major.
//
// Rung 6 of the ladder that begins in gemm_ladder.cu; rungs 7 and up are in gemm_tensor.cu. tile.cuh has the loop that
// they share: global memory is read 16 bytes at a time into registers while the arithmetic of the step before runs,
// and stored into the other of two buffers. Every kernel has four variants: nn, tn (A is stored [k, m]), nt (B is stored
// [n, k]) and tt. blockIdx.x counts tiles of C, blockIdx.z products of a batch and parts of k.
//
// Per tile of 128 × 128 a block reads k·(128 + 128) floats for 128·128·k multiply-adds: 2·m·n·k / 128 floats in all.

#include "common.cuh"
#include "tile.cuh"

// Rung 6: the tile is cut into warps first. A warp computes 32 × 64 of C as a grid of 4 × 8 lanes, and reads 96 floats
// of shared memory a step for 2048 multiply-adds; a lane's 8 × 8 are four blocks of 4 × 4, so that no read of the
// panels meets a bank twice. 64 sums, 16 fragments, 8 floats on their way and their addresses fit into 128 registers:
// two blocks, 16 warps, on a multiprocessor.
typedef Tile<128, 128, 4, 8, 8, 8> WarpTiled;

extern "C" __global__ void __launch_bounds__(256, 2) gemm_warp_tiled_nn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<WarpTiled, false, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_warp_tiled_tn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<WarpTiled, true, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_warp_tiled_nt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<WarpTiled, false, true>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_warp_tiled_tt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<WarpTiled, true, true>(a, b, bias, c, g);
}

// The same with 64 × 64 of C and 128 threads of 8 × 4 each: for products that have too few tiles of 128 × 128 to give
// every multiprocessor one. Half the multiply-adds for each float read.
typedef Tile<64, 64, 4, 8, 8, 4> Medium;

extern "C" __global__ void __launch_bounds__(128, 4) gemm_medium_nn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Medium, false, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(128, 4) gemm_medium_tn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Medium, true, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(128, 4) gemm_medium_nt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Medium, false, true>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(128, 4) gemm_medium_tt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Medium, true, true>(a, b, bias, c, g);
}

// And with 32 × 32, by four teams of 64 threads of 4 × 4 each: the steps of a small product are a chain of waits for
// memory, a quarter as long for each team.
typedef Tile<32, 32, 4, 8, 4, 4, 4> Small;

extern "C" __global__ void __launch_bounds__(256, 3) gemm_small_nn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Small, false, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 3) gemm_small_tn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Small, true, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 3) gemm_small_nt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Small, false, true>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 3) gemm_small_tt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Small, true, true>(a, b, bias, c, g);
}

// Split k: C[i, j] = f(α Σₚ partial[p, i, j] + β C[i, j] + bias[j]), the parts in ascending order.
//
// A tall product (few tiles, many steps) keeps few multiprocessors busy, so its steps are cut into parts that blocks of
// their own sum up, each into its own [m, n] of `partial`: no atomics, and the same bits on every run. Here a thread
// adds up one element; neighbouring threads read neighbours. partial is [products, split, m, n]; `batch_c` is C's own.
extern "C" __global__ void gemm_add_parts(const float* __restrict__ partial, const float* __restrict__ bias, float* c,
                                          int products, GemmArgs g) {
  size_t size = (size_t)g.m * g.n;
  EACH_ELEMENT(e, products * size) {
    size_t product = e / size, at = e % size;
    const float* p = partial + product * g.split * size + at;
    float sum = 0.0f;
#pragma unroll 8  // the reads do not wait for each other
    for (int part = 0; part < g.split; ++part) sum += p[part * size];
    float* to = c + product * g.batch_c + at / g.n * g.ldc + at % g.n;
    *to = activation_value(g.f, affine(sum, g, bias, to, (int)(at % g.n)));
  }
}

// k = 0: C = f(β C + bias). A thread writes one element.
extern "C" __global__ void gemm_no_steps(const float* __restrict__ bias, float* c, int products, GemmArgs g) {
  size_t size = (size_t)g.m * g.n;
  EACH_ELEMENT(e, products * size) {
    size_t at = e % size;
    float* to = c + e / size * g.batch_c + at / g.n * g.ldc + at % g.n;
    *to = activation_value(g.f, affine(0.0f, g, bias, to, (int)(at % g.n)));
  }
}
