// Normalisation over columns: statistics, and what is done with them. x and y are [rows, cols].
//
// All kernels lie over the matrix by Column: a thread walks down one column. Sums over rows are made for each chunk of the
// rows; a second kernel adds the chunks, in their order.

#include "common.cuh"
#include "columns.cuh"

// ---------------------------------------------------------------------------------- moments

// What is known of some numbers: how many they are, their mean as pivot + mean, and Σ (x − mean)². The pivot is one of them:
// where all are about 100, their distances to it keep the digits that their own sum would lose.
struct Moments {
  float n, pivot, mean, squares;
};

// Of the numbers of a and of b together (Chan, Golub, LeVeque 1979).
__device__ __forceinline__ Moments together(Moments a, Moments b) {
  if (b.n == 0.0f) return a;
  if (a.n == 0.0f) return b;
  float n = a.n + b.n, apart = (b.pivot - a.pivot) + (b.mean - a.mean), share = b.n / n;
  return {n, a.pivot, fmaf(apart, share, a.mean), a.squares + fmaf(apart * apart, a.n * share, b.squares)};
}

// Of up to eight numbers of a column, from row r on: they are read once, and walked through twice in registers.
#define EIGHT 8
__device__ __forceinline__ Moments moments_of_eight(const float* x, Column c, int r, int cols) {
  float v[EIGHT];
#pragma unroll
  for (int k = 0; k < EIGHT; ++k) v[k] = r + k * c.step < c.end ? x[(size_t)(r + k * c.step) * cols + c.at] : 0.0f;
  Moments m = {0.0f, v[0], 0.0f, 0.0f};
#pragma unroll
  for (int k = 0; k < EIGHT; ++k)
    if (r + k * c.step < c.end) {
      m.n += 1.0f;
      m.mean += v[k] - m.pivot;
    }
  m.mean /= m.n;
#pragma unroll
  for (int k = 0; k < EIGHT; ++k)
    if (r + k * c.step < c.end) {
      float distance = (v[k] - m.pivot) - m.mean;
      m.squares = fmaf(distance, distance, m.squares);
    }
  return m;
}

// Those of the threads of each column, together, in the first of them. `all` is shared memory for 256.
__device__ __forceinline__ Moments column_moments(Moments m, int width, Moments* all) {
  all[threadIdx.x] = m;
  for (int half = COLUMN_BLOCK / 2; half >= width; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) all[threadIdx.x] = m = together(m, all[threadIdx.x + half]);
  }
  return m;
}

// The moments of each chunk of the rows: of [chunks, cols], pivots, means and sums of squares, each a matrix in `parts`. With
// one chunk, the results are written at once: μ = mean of each column, σ² = mean squared distance from it. x is read once.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    moments(const float* x, float* parts, float* mean, float* variance, int rows, int cols, int width, int chunk) {
  __shared__ Moments all[COLUMN_BLOCK];
  Column c(rows, width, chunk);
  Moments m = {0.0f, 0.0f, 0.0f, 0.0f};
  if (c.at < cols)
    for (int r = c.first; r < c.end; r += EIGHT * c.step) m = together(m, moments_of_eight(x, c, r, cols));
  m = column_moments(m, width, all);
  if (threadIdx.x >= width || c.at >= cols) return;
  if (gridDim.y == 1) {
    mean[c.at] = m.pivot + m.mean;
    variance[c.at] = m.squares / m.n;
  } else {
    size_t at = (size_t)blockIdx.y * cols + c.at, matrix = (size_t)gridDim.y * cols;
    parts[at] = m.pivot;
    parts[matrix + at] = m.mean;
    parts[2 * matrix + at] = m.squares;
  }
}

// The second half of moments: the chunks together. All but the last have `of_chunk` of the `rows` rows. Lies over the
// matrices [chunks, cols] as one chunk.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK) moments_together(
    const float* parts, float* mean, float* variance, int chunks, int cols, int width, int rows, int of_chunk) {
  __shared__ Moments all[COLUMN_BLOCK];
  Column c(chunks, width, chunks);
  size_t matrix = (size_t)chunks * cols;
  Moments m = {0.0f, 0.0f, 0.0f, 0.0f};
  if (c.at < cols)
    for (int k = c.first; k < c.end; k += c.step) {
      size_t at = (size_t)k * cols + c.at;
      float n = k < chunks - 1 ? of_chunk : rows - k * of_chunk;
      m = together(m, {n, parts[at], parts[matrix + at], parts[2 * matrix + at]});
    }
  m = column_moments(m, width, all);
  if (threadIdx.x >= width || c.at >= cols) return;
  mean[c.at] = m.pivot + m.mean;
  variance[c.at] = m.squares / m.n;
}

// ---------------------------------------------------------------------------------- forward

// 1 / √(σ² + ε)
__device__ __forceinline__ float inverse_root(float variance, float epsilon) {
  return 1.0f / sqrtf(variance + epsilon);
}

// y = (x − μ) · γ / √(σ² + ε) + β. γ and β may be absent: 1 and 0. The first threads of the block's columns read the
// statistics for all; x is read once and y written once.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    normalize(const float* mean, const float* variance, const float* gamma, const float* beta, float epsilon,
              const float* x, float* y, int rows, int cols, int width, int chunk) {
  __shared__ float means[WARP], scales[WARP], shifts[WARP];
  Column c(rows, width, chunk);
  int own = threadIdx.x & (width - 1);
  if (threadIdx.x < width && c.at < cols) {
    means[own] = mean[c.at];
    scales[own] = (gamma ? gamma[c.at] : 1.0f) * inverse_root(variance[c.at], epsilon);
    shifts[own] = beta ? beta[c.at] : 0.0f;
  }
  __syncthreads();
  if (c.at >= cols) return;
  float mu = means[own], scale = scales[own], shift = shifts[own];
  for (int r = c.first; r < c.end; r += c.step) {
    size_t e = (size_t)r * cols + c.at;
    y[e] = fmaf(x[e] - mu, scale, shift);
  }
}

// ---------------------------------------------------------------------------------- backward

// The sums that dγ and dβ are made of, for each chunk of the rows: Σᵣ dy ⊙ (x − μ) and Σᵣ dy, each [chunks, cols], one
// behind the other in `parts`. x and dy are read once.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    normalize_sums(const float* mean, const float* x, const float* dy, float* parts, int rows, int cols, int width,
                   int chunk) {
  __shared__ float gammas[COLUMN_BLOCK], betas[COLUMN_BLOCK], means[WARP];
  Column c(rows, width, chunk);
  int own = threadIdx.x & (width - 1);
  if (threadIdx.x < width && c.at < cols) means[own] = mean[c.at];
  __syncthreads();
  float dgamma = 0.0f, dbeta = 0.0f;
  if (c.at < cols) {
    float mu = means[own];
    for (int r = c.first; r < c.end; r += c.step) {
      size_t e = (size_t)r * cols + c.at;
      float d = dy[e];
      dgamma = fmaf(d, x[e] - mu, dgamma);
      dbeta += d;
    }
  }
  dgamma = column_sum(dgamma, width, gammas);
  dbeta = column_sum(dbeta, width, betas);
  if (threadIdx.x < width && c.at < cols) {
    size_t at = (size_t)blockIdx.y * cols + c.at;
    parts[at] = dgamma;
    parts[(size_t)gridDim.y * cols + at] = dbeta;
  }
}

// dγ = Σᵣ dy ⊙ (x − μ) / √(σ² + ε), dβ = Σᵣ dy, from the chunks' sums.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    normalize_sums_together(const float* variance, float epsilon, const float* parts, float* dgamma, float* dbeta,
                            int chunks, int cols, int width) {
  __shared__ float gammas[COLUMN_BLOCK], betas[COLUMN_BLOCK];
  Column c(chunks, width, chunks);
  float gamma = 0.0f, beta = 0.0f;
  if (c.at < cols)
    for (int k = c.first; k < c.end; k += c.step) {
      gamma += parts[(size_t)k * cols + c.at];
      beta += parts[(size_t)(chunks + k) * cols + c.at];
    }
  gamma = column_sum(gamma, width, gammas);
  beta = column_sum(beta, width, betas);
  if (threadIdx.x < width && c.at < cols) {
    dgamma[c.at] = gamma * inverse_root(variance[c.at], epsilon);
    dbeta[c.at] = beta;
  }
}

// dx = γ / √(σ² + ε) · (dy − dβ / R − x̂ ⊙ dγ / R), with x̂ = (x − μ) / √(σ² + ε). As normalize.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    normalize_backward(const float* mean, const float* variance, const float* gamma, float epsilon, const float* x,
                       const float* dy, const float* dgamma, const float* dbeta, float* dx, int rows, int cols,
                       int width, int chunk) {
  __shared__ float means[WARP], scales[WARP], shifts[WARP], slopes[WARP];
  Column c(rows, width, chunk);
  int own = threadIdx.x & (width - 1);
  if (threadIdx.x < width && c.at < cols) {
    float inverse = inverse_root(variance[c.at], epsilon);
    means[own] = mean[c.at];
    scales[own] = (gamma ? gamma[c.at] : 1.0f) * inverse;
    shifts[own] = dbeta[c.at] / rows;
    slopes[own] = dgamma[c.at] * inverse / rows;
  }
  __syncthreads();
  if (c.at >= cols) return;
  float mu = means[own], scale = scales[own], shift = shifts[own], slope = slopes[own];
  for (int r = c.first; r < c.end; r += c.step) {
    size_t e = (size_t)r * cols + c.at;
    dx[e] = scale * fmaf(mu - x[e], slope, dy[e] - shift);
  }
}
