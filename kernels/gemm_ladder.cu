// The lower rungs of the matrix product C = f(α op(A) op(B) + β C + bias), row-major: how to get from the definition to
// the kernels of gemm.cu, one idea at a time. The engine does not use them; benches and tests do.
//
//   rung                   what is new                                     multiply-adds per float read from memory
//   1 naive                a thread computes one element of C              ½
//   2 coalesced            neighbouring threads, neighbouring elements     ½, but in whole sectors
//   3 shared               a block shares tiles of 32 × 32                 16
//   4 register_tiled       a thread computes 8 × 8 elements                32
//   5 vectorised           16-byte loads, two buffers                      64
//   6 warp_tiled           no bank conflicts                 gemm.cu       64
//   7 asynchronous         copies that pass by the registers gemm_tensor.cu
//   8 tensor, 9 tensor3    tensor cores                      gemm_tensor.cu
//
// Transposes are strides on rungs 1 to 4: element (i, k) of op(A) is a[i · row_a + k · step_a], and likewise for B.
// blockIdx.x counts elements or tiles of C, blockIdx.z the products of a batch; k is not split below rung 5.
// Any m, n, k ≥ 1. Sources: Harris 2007, "Optimizing Parallel Reduction in CUDA", for the way of telling it; Boehm 2022,
// "How to Optimize a CUDA Matmul Kernel for cuBLAS-like Performance", for the ladder.

#include "common.cuh"
#include "tile.cuh"

// How op(A) and op(B) lie in memory. The same struct is in src/cuda/abi.rs.
struct GemmStrides {
  int row_a, step_a;     // from a row of op(A) to the next, from a step of k to the next
  int step_b, column_b;  // from a step of k to the next, from a column of op(B) to the next
};

// C = f(α sum + β C + bias), for one element.
__device__ __forceinline__ void put(float sum, const GemmArgs& g, const float* bias, float* c, int row, int column) {
  float* to = c + (size_t)row * g.ldc + column;
  *to = activation_value(g.f, affine(sum, g, bias, to, column));
}

// One element of op(A) op(B): a row times a column.
__device__ __forceinline__ float dot(const float* a, const float* b, const GemmArgs& g, const GemmStrides& s, int row,
                                     int column) {
  a += (size_t)row * s.row_a;
  b += (size_t)column * s.column_b;
  float sum = 0.0f;
  for (int k = 0; k < g.k; ++k, a += s.step_a, b += s.step_b) sum = fmaf(*a, *b, sum);
  return sum;
}

// Rung 1: the definition. A thread computes one element of C; neighbouring threads take neighbouring rows.
// At each step of k the 32 lanes of a warp read 32 rows of A, 32 sectors of which they use 4 bytes each, and write 32
// rows of C in the same manner.
extern "C" __global__ void gemm_naive(const float* __restrict__ a, const float* __restrict__ b,
                                      const float* __restrict__ bias, float* c, GemmArgs g, GemmStrides s) {
  a += blockIdx.z * g.batch_a, b += blockIdx.z * g.batch_b, c += blockIdx.z * g.batch_c;
  EACH_ELEMENT(e, (size_t)g.m * g.n) {
    int row = e % g.m, column = e / g.m;
    put(dot(a, b, g, s, row, column), g, bias, c, row, column);
  }
}

// Rung 2: neighbouring threads take neighbouring columns, and nothing else changes. Now the lanes of a warp read one
// float of A, which is broadcast, and 32 neighbouring floats of B, four whole sectors.
// Left on the table: every float is read m or n times, and all that saves us is the cache.
extern "C" __global__ void gemm_coalesced(const float* __restrict__ a, const float* __restrict__ b,
                                          const float* __restrict__ bias, float* c, GemmArgs g, GemmStrides s) {
  a += blockIdx.z * g.batch_a, b += blockIdx.z * g.batch_b, c += blockIdx.z * g.batch_c;
  EACH_ELEMENT(e, (size_t)g.m * g.n) {
    int row = e / g.n, column = e % g.n;
    put(dot(a, b, g, s, row, column), g, bias, c, row, column);
  }
}

// Fills tile[i][k] (ROWS of it, WIDTH steps) from p[i · row + k · step], 0 outside, by all THREADS threads. They walk
// along whichever index is contiguous in memory, so that reads are coalesced however the operand is transposed.
template <int ROWS, int WIDTH, int THREADS>
__device__ __forceinline__ void fill_tile(float (*tile)[WIDTH + 1], const float* p, int row, int step, int first_row,
                                          int rows, int first_k, int steps) {
  for (int e = threadIdx.x; e < ROWS * WIDTH; e += THREADS) {
    int i = step == 1 ? e / WIDTH : e % ROWS, k = step == 1 ? e % WIDTH : e / ROWS;
    bool inside = first_row + i < rows && first_k + k < steps;
    tile[i][k] = inside ? p[(size_t)(first_row + i) * row + (size_t)(first_k + k) * step] : 0.0f;
  }
}

// Rung 3: tiles in shared memory. A block of 32 × 32 threads computes 32 × 32 of C. Per 32 steps of k the block reads
// 32 × 32 of A and of B once, and each float serves 32 threads. Rows are padded by a float: a column of the tile lies on
// 32 different banks. Two barriers: one before the tiles are read, one before they are overwritten.
// Left on the table: two reads of shared memory for each multiply-add.
extern "C" __global__ void __launch_bounds__(1024, 1)
    gemm_shared(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c,
                GemmArgs g, GemmStrides s) {
  const int TILE = 32;
  __shared__ float tile_a[TILE][TILE + 1], tile_b[TILE][TILE + 1];  // A's rows and B's columns, both along k
  a += blockIdx.z * g.batch_a, b += blockIdx.z * g.batch_b, c += blockIdx.z * g.batch_c;
  int2 tile = tile_of_block(blockIdx.x, (g.m + TILE - 1) / TILE, (g.n + TILE - 1) / TILE);
  int first_row = tile.x * TILE, first_column = tile.y * TILE;
  int i = threadIdx.x / TILE, j = threadIdx.x % TILE;
  float sum = 0.0f;
  for (int first = 0; first < g.k; first += TILE) {
    fill_tile<TILE, TILE, 1024>(tile_a, a, s.row_a, s.step_a, first_row, g.m, first, g.k);
    fill_tile<TILE, TILE, 1024>(tile_b, b, s.column_b, s.step_b, first_column, g.n, first, g.k);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < TILE; ++k) sum = fmaf(tile_a[i][k], tile_b[j][k], sum);
    __syncthreads();
  }
  if (first_row + i < g.m && first_column + j < g.n) put(sum, g, bias, c, first_row + i, first_column + j);
}

// Rung 4: register tiles. A block of 64 threads computes a 64 × 64 tile of C, a thread 8 × 8 of it in registers.
// Per step of k a thread reads 16 floats from shared memory for 64 multiply-adds: 4 a read, against ½ on rung 3. Its
// rows and columns are 8 apart, so that neighbouring lanes read neighbouring panel rows, on different banks.
// Left on the table: reads of shared memory are scalar, and nothing is computed while the tiles are filled (rung 5).
//
//            k →               n →
//   A  m ↓ [####....]   B  k ↓ [####....]     # = this block's panels for one step
extern "C" __global__ void __launch_bounds__(64)
    gemm_register_tiled(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias,
                        float* c, GemmArgs g, GemmStrides s) {
  const int TILE = 64, DEEP = 8, EACH = 8;
  __shared__ float tile_a[TILE][DEEP + 1], tile_b[TILE][DEEP + 1];
  a += blockIdx.z * g.batch_a, b += blockIdx.z * g.batch_b, c += blockIdx.z * g.batch_c;
  int2 tile = tile_of_block(blockIdx.x, (g.m + TILE - 1) / TILE, (g.n + TILE - 1) / TILE);
  int first_row = tile.x * TILE, first_column = tile.y * TILE;
  int row = threadIdx.x / 8, column = threadIdx.x % 8;
  float sum[EACH][EACH] = {};
  for (int first = 0; first < g.k; first += DEEP) {
    fill_tile<TILE, DEEP, 64>(tile_a, a, s.row_a, s.step_a, first_row, g.m, first, g.k);
    fill_tile<TILE, DEEP, 64>(tile_b, b, s.column_b, s.step_b, first_column, g.n, first, g.k);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < DEEP; ++k) {
      float left[EACH], right[EACH];
#pragma unroll
      for (int i = 0; i < EACH; ++i) left[i] = tile_a[row + 8 * i][k], right[i] = tile_b[column + 8 * i][k];
#pragma unroll
      for (int i = 0; i < EACH; ++i) {
#pragma unroll
        for (int j = 0; j < EACH; ++j) sum[i][j] = fmaf(left[i], right[j], sum[i][j]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
#pragma unroll
    for (int j = 0; j < EACH; ++j) {
      int r = first_row + row + 8 * i, q = first_column + column + 8 * j;
      if (r < g.m && q < g.n) c[(size_t)r * g.ldc + q] = affine(sum[i][j], g, bias, c + (size_t)r * g.ldc + q, q);
    }
  }
  if (g.f.kind == LINEAR) return;
  // The activation's code is there once, so a thread comes back for the elements that it wrote.
#pragma unroll 1
  for (int e = 0; e < EACH * EACH; ++e) {
    int r = first_row + row + 8 * (e / EACH), q = first_column + column + 8 * (e % EACH);
    float* to = c + (size_t)r * g.ldc + q;
    if (r < g.m && q < g.n) *to = activation_value(g.f, *to);
  }
}

// Rung 5: 16-byte loads, two buffers. 256 threads as a grid of 16 × 16, each with 8 × 8 neighbouring elements of C.
// Left on the table: two lanes of eight meet on the same banks when they read B's panel.
typedef Tile<128, 128, 2, 16, 8, 8, 1, 0> Vectorised;

extern "C" __global__ void __launch_bounds__(256, 2) gemm_vectorised_nn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Vectorised, false, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_vectorised_tn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Vectorised, true, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_vectorised_nt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Vectorised, false, true>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_vectorised_tt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  product<Vectorised, true, true>(a, b, bias, c, g);
}
