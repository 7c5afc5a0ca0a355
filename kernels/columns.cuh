// Kernels that walk down the columns of a matrix [rows, cols]; src/cuda/layout.rs chooses how blocks lie over it.

#pragma once

// A block of 256 threads over a matrix [rows, cols]: `width` threads side by side, a power of two up to 32, have a column
// each, and 256 / width of them walk down it together. blockIdx.x counts the groups of columns, blockIdx.y the
// chunks of `chunk` rows.
#define COLUMN_BLOCK 256
struct Column {
  int at;     // the column; beyond the last one, there is nothing to do
  int first;  // this thread's first row
  int step;   // from one of its rows to the next
  int end;    // behind its last

  __device__ __forceinline__ Column(int rows, int width, int chunk) {
    at = blockIdx.x * width + (threadIdx.x & (width - 1));
    step = COLUMN_BLOCK / width;
    first = blockIdx.y * chunk + threadIdx.x / width;
    end = rows - (int)blockIdx.y * chunk < chunk ? rows : (blockIdx.y + 1) * chunk;
  }
};

// The sum of x over the threads of each column, in the first of them (the first `width` threads of the block).
// `sums` is shared memory for 256 floats. All threads of the block must call it, once.
__device__ __forceinline__ float column_sum(float x, int width, float* sums) {
  sums[threadIdx.x] = x;
  for (int half = COLUMN_BLOCK / 2; half >= width; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] = x += sums[threadIdx.x + half];
  }
  return x;
}
