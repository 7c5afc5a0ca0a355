// Element by element, moves, bias, and sums over rows.
//
// A thread takes every (grid's threads)-th element, four at a time where all operands start at a multiple of 16 bytes:
// neighbouring threads touch neighbouring bytes, and every byte is read and written once.

#include "common.cuh"
#include "columns.cuh"

// y = value
extern "C" __global__ void fill(float value, float* y, size_t n) {
  each(y, n, [=](float) { return value; });
}

// y = x
extern "C" __global__ void copy(const float* x, float* y, size_t n) {
  each(x, y, n, [](float x, float) { return x; });
}

// y = a y
extern "C" __global__ void scale(float a, float* y, size_t n) {
  each(y, n, [=](float y) { return a * y; });
}

// y = y + a x
extern "C" __global__ void add_scaled(float a, const float* x, float* y, size_t n) {
  each(x, y, n, [=](float x, float y) { return fmaf(a, x, y); });
}

// y = y + a (x − y)
extern "C" __global__ void interpolate(float a, const float* x, float* y, size_t n) {
  each(x, y, n, [=](float x, float y) { return fmaf(a, x - y, y); });
}

// y = x ⊙ y
extern "C" __global__ void multiply(const float* x, float* y, size_t n) {
  each(x, y, n, [](float x, float y) { return x * y; });
}

// y = min(max(y, low), high), by comparisons, so that NaN stays NaN.
extern "C" __global__ void clamp(float low, float high, float* y, size_t n) {
  each(y, n, [=](float y) {
    y = y < low ? low : y;
    return y > high ? high : y;
  });
}

// ---------------------------------------------------------------------------------- moves

// y = scale · bytes: the device's half of load_rows. Four bytes become four floats.
extern "C" __global__ void load_bytes(const unsigned char* bytes, float scale, float* y, size_t n) {
  size_t fours = (size_t)bytes % 4 == 0 && by_fours(y) ? n / 4 : 0;
  EACH_ELEMENT(i, fours) {
    uchar4 b = ((const uchar4*)bytes)[i];
    ((Four*)y)[i] = Four{b.x * scale, b.y * scale, b.z * scale, b.w * scale};
  }
  EACH_ELEMENT(i, n - 4 * fours) y[4 * fours + i] = bytes[4 * fours + i] * scale;
}

// y[j, i, :] = x[i, j, :], where a row of `rest` numbers is long: `width` neighbouring threads, a power of two up to 256,
// copy one. x is [a, b, rest], y [b, a, rest].
extern "C" __global__ void __launch_bounds__(256)
    swap_axes_rows(const float* x, float* y, int a, int b, size_t rest, int width) {
  size_t per_block = 256 / width, rows = (size_t)a * b;
  for (size_t row = blockIdx.x * per_block + threadIdx.x / width; row < rows; row += gridDim.x * per_block) {
    size_t j = row / a, i = row - j * a;
    const float* from = x + (i * b + j) * rest;
    float* to = y + row * rest;
    for (size_t e = threadIdx.x % width; e < rest; e += width) to[e] = from[e];
  }
}

// y[j, i, :] = x[i, j, :], where `rest` is small, 1 for a transposed matrix: a block moves a tile of 32×32 rows through
// shared memory, so that both sides are touched in runs of 32·rest numbers. A row of the tile is one number
// longer, which puts the numbers of a column into different banks.
//
//             j →                      i →
//   x   i ↓ [####....]  →  tile  →  y  j ↓ [####....]
//
// Shared memory: 32 (32 rest + 1) floats.
extern "C" __global__ void __launch_bounds__(256)
    swap_axes_tile(const float* x, float* y, int a, int b, int rest) {
  extern __shared__ float tile[];
  int across = (b + WARP - 1) / WARP, run = WARP * rest;
  int i0 = blockIdx.x / across * WARP, j0 = blockIdx.x % across * WARP;
  int high = min(WARP, a - i0), wide = min(WARP, b - j0);
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = 256 / WARP;

  for (int i = warp; i < high; i += warps)
    for (int k = lane; k < wide * rest; k += WARP)
      tile[i * (run + 1) + k] = x[((size_t)(i0 + i) * b + j0) * rest + k];
  __syncthreads();
  for (int j = warp; j < wide; j += warps)
    for (int k = lane; k < high * rest; k += WARP)
      y[((size_t)(j0 + j) * a + i0) * rest + k] = tile[k / rest * (run + 1) + j * rest + k % rest];
}

// y[r, to + j] = x[r, from + j] for j < columns: `width` neighbouring threads copy a row. x is [rows, cx], y [rows, cy].
extern "C" __global__ void __launch_bounds__(256) copy_columns(
    const float* x, int from, int cx, float* y, int to, int cy, int rows, int columns, int width) {
  int per_block = 256 / width;
  for (size_t r = blockIdx.x * (size_t)per_block + threadIdx.x / width; r < rows; r += gridDim.x * (size_t)per_block)
    for (int j = threadIdx.x % width; j < columns; j += width) y[r * cy + to + j] = x[r * cx + from + j];
}

// ---------------------------------------------------------------------------------- rows

// y[r, :] += b. A thread walks down a column with its bias in a register.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    add_bias(const float* b, float* y, int rows, int cols, int width, int chunk) {
  Column c(rows, width, chunk);
  if (c.at >= cols) return;
  float bias = b[c.at];
  for (int r = c.first; r < c.end; r += c.step) y[(size_t)r * cols + c.at] += bias;
}

// y[k, :] = Σ x[r, :] over chunk k of the rows. The sums of the chunks are a matrix again, which a second launch with one
// chunk adds up: both in an order that the shape fixes. Every x is read once. y is [chunks, cols].
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    sum_rows(const float* x, float* y, int rows, int cols, int width, int chunk) {
  __shared__ float sums[COLUMN_BLOCK];
  Column c(rows, width, chunk);
  float sum = 0.0f;
  if (c.at < cols) {
#pragma unroll 8  // the reads do not wait for each other
    for (int r = c.first; r < c.end; r += c.step) sum += x[(size_t)r * cols + c.at];
  }
  sum = column_sum(sum, width, sums);
  if (threadIdx.x < width && c.at < cols) y[(size_t)blockIdx.y * cols + c.at] = sum;
}
