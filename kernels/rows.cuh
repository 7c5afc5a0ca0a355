// Kernels that compute a matrix [rows, cols] row by row; src/cuda/layout.rs chooses how.
//
// Some lanes of a warp share a short row, a block a long one. Both have a rank and a size, and sums and maxima that every
// member gets and every member must call.

#pragma once

// `width` lanes, a power of two. A block of 128 threads has 128 / width rows; lanes of no row come with 0 columns.
struct Lanes {
  int width;

  __device__ __forceinline__ int rank() const { return threadIdx.x & (width - 1); }
  __device__ __forceinline__ int size() const { return width; }
  __device__ __forceinline__ int row() const { return blockIdx.x * (blockDim.x / width) + threadIdx.x / width; }
  // What p has for the row, which one lane reads for all; 0 for lanes of no row.
  template <class T>
  __device__ __forceinline__ T of_row(const T* p, bool there) const {
    return __shfl_sync(FULL_WARP, there && rank() == 0 ? p[row()] : (T)0, 0, width);
  }
  __device__ __forceinline__ float sum(float x) const {
    for (int distance = width / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(FULL_WARP, x, distance);
    return x;
  }
  __device__ __forceinline__ float max(float x) const {
    for (int distance = width / 2; distance > 0; distance /= 2)
      x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, distance));
    return x;
  }
};

// A block of 512 threads. `partial` is shared memory for one float a warp.
#define ROW_BLOCK 512
struct Block {
  float* partial;

  __device__ __forceinline__ int rank() const { return threadIdx.x; }
  __device__ __forceinline__ int size() const { return ROW_BLOCK; }
  __device__ __forceinline__ int row() const { return blockIdx.x; }
  template <class T>
  __device__ __forceinline__ T of_row(const T* p, bool there) const {
    return __shfl_sync(FULL_WARP, there && rank() % WARP == 0 ? p[row()] : (T)0, 0);
  }
  __device__ __forceinline__ float sum(float x) const { return block_sum(x, partial); }
  __device__ __forceinline__ float max(float x) const { return block_max(x, partial); }
};

// A row of N matrices of one shape, read once. A thread has the columns rank, rank + size, ...; the first HELD of them
// stay in its registers, which is all of them up to 512 columns for a warp and 8192 for a block. Those behind are read
// again each time. An absent matrix reads as 0.
#define HELD 16
template <class Group, int N>
struct Row {
  Group group;
  int cols;
  const float* x[N];
  float held[HELD][N];

  // x points to the row's first column.
  __device__ __forceinline__ void read() {
#pragma unroll
    for (int k = 0; k < HELD; ++k) {
      int j = group.rank() + k * group.size();
#pragma unroll
      for (int i = 0; i < N; ++i) held[k][i] = j < cols && x[i] ? x[i][j] : 0.0f;
    }
  }

  // f(column, values) for those of this thread's columns that are in registers.
  template <class F>
  __device__ __forceinline__ void each_held(F f) {
#pragma unroll
    for (int k = 0; k < HELD; ++k) {
      if (k * group.size() >= cols) break;
      int j = group.rank() + k * group.size();
      if (j < cols) f(j, held[k]);
    }
  }

  // f(column, values) for the others.
  template <class F>
  __device__ __forceinline__ void each_other(F f) {
    for (int j = group.rank() + HELD * group.size(); j < cols; j += group.size()) {
      float v[N];
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = x[i] ? x[i][j] : 0.0f;
      f(j, v);
    }
  }

  // f(column, values) for all of this thread's columns.
  template <class F>
  __device__ __forceinline__ void each(F f) {
    each_held(f);
    each_other(f);
  }

  // The largest of the first matrix's row, and Σ e^(x − largest): no exponential overflows. Columns in registers wait for
  // the largest; for those behind, the sum is scaled whenever a larger one comes (Milakov, Gimelshein 2018), so that
  // they are read once here. NaN, +∞, and nothing but −∞, all make the sum NaN.
  __device__ __forceinline__ void exponentials(float& largest, float& sum) {
    float own = -INFINITY_F, part = 0.0f;
    each_held([&](int, const float* v) { own = fmaxf(own, v[0]); });
    each_other([&](int, const float* v) {
      if (v[0] > own) {
        part *= expf(own - v[0]);
        own = v[0];
      }
      part += v[0] == own ? 1.0f : expf(v[0] - own);
    });
    largest = group.max(own);
    part *= expf(own - largest);
    each_held([&](int, const float* v) { part += expf(v[0] - largest); });
    sum = group.sum(part);
  }
};
