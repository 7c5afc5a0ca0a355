// Scores, counts, and sums that keep their digits.

#include "common.cuh"
#include "rows.cuh"
#include "columns.cuh"

// ---------------------------------------------------------------------------------- rows

// Where the largest of a row stands, in every lane that shares the row: the first of equals. NaN is never larger, but a
// NaN in front has nothing larger than itself.
__device__ __forceinline__ int argmax(Lanes lanes, const float* x, int cols) {
  float best = -INFINITY_F;
  int at = cols;  // none yet
  for (int j = lanes.rank(); j < cols; j += lanes.size()) {
    float v = x[j];
    if (j == 0 && v != v) v = INFINITY_F;
    if (v > best || (v == best && j < at)) {
      best = v;
      at = j;
    }
  }
  for (int distance = lanes.width / 2; distance > 0; distance /= 2) {
    float other = __shfl_xor_sync(FULL_WARP, best, distance);
    int there = __shfl_xor_sync(FULL_WARP, at, distance);
    if (other > best || (other == best && there < at)) {
      best = other;
      at = there;
    }
  }
  return at;
}

// The class of row r: its label, or where its largest target stands.
__device__ __forceinline__ int class_of(Lanes lanes, const float* t, const unsigned int* labels, int r, int cols,
                                        bool there) {
  return labels ? (int)lanes.of_row(labels, there) : argmax(lanes, t + (size_t)r * cols, there ? cols : 0);
}

// rows[r] = the share of the row's columns where (p > threshold) equals the target. `width` lanes share a row.
extern "C" __global__ void __launch_bounds__(128)
    score_binary(float threshold, const float* p, const float* t, float* rows, int n, int cols, int width) {
  Lanes lanes = {width};
  int r = lanes.row();
  size_t at = (size_t)r * cols;
  float right = 0.0f;
  if (r < n)
    for (int j = lanes.rank(); j < cols; j += lanes.size())
      right += (p[at + j] > threshold ? 1.0f : 0.0f) == t[at + j] ? 1.0f : 0.0f;
  right = lanes.sum(right);
  if (r < n && lanes.rank() == 0) rows[r] = right / cols;
}

// rows[r] = 1 if the largest prediction stands where the target's class is, else 0.
extern "C" __global__ void __launch_bounds__(128)
    score_categorical(const float* p, const float* t, const unsigned int* labels, float* rows, int n, int cols,
                      int width) {
  Lanes lanes = {width};
  int r = lanes.row();
  bool there = r < n;
  int predicted = argmax(lanes, p + (size_t)r * cols, there ? cols : 0);
  int actual = class_of(lanes, t, labels, r, cols, there);
  if (there && lanes.rank() == 0) rows[r] = predicted == actual ? 1.0f : 0.0f;
}

// rows[r] = 1 if fewer than k predictions are larger than that of the target's class, else 0.
extern "C" __global__ void __launch_bounds__(128)
    score_top_k(int k, const float* p, const float* t, const unsigned int* labels, float* rows, int n, int cols,
                int width) {
  Lanes lanes = {width};
  int r = lanes.row();
  bool there = r < n;
  const float* row = p + (size_t)r * cols;
  int actual = class_of(lanes, t, labels, r, cols, there);
  float larger = 0.0f;
  if (there && actual < cols) {
    float own = row[actual];
    for (int j = lanes.rank(); j < cols; j += lanes.size()) larger += row[j] > own ? 1.0f : 0.0f;
  }
  larger = lanes.sum(larger);
  if (there && lanes.rank() == 0) rows[r] = larger < k ? 1.0f : 0.0f;
}

// ---------------------------------------------------------------------------------- counts

// at[r] = where the row's largest stands.
extern "C" __global__ void __launch_bounds__(128)
    largest(const float* x, unsigned int* at, int n, int cols, int width) {
  Lanes lanes = {width};
  int r = lanes.row();
  int found = argmax(lanes, x + (size_t)r * cols, r < n ? cols : 0);
  if (r < n && lanes.rank() == 0) at[r] = found;
}

// The same, but with one column the classes are 0 and 1, above ½.
extern "C" __global__ void __launch_bounds__(128)
    classes(const float* x, unsigned int* at, int n, int cols, int width) {
  Lanes lanes = {width};
  int r = lanes.row();
  const float* row = x + (size_t)r * cols;
  unsigned int found = cols == 1 ? r < n && row[0] > 0.5f : argmax(lanes, row, r < n ? cols : 0);
  if (r < n && lanes.rank() == 0) at[r] = found;
}

// Adds to counts [3, cols]: true positives, predicted positives, actual positives of each class. Predicted is a p above
// `threshold`, or the class that `predicted` has for the row; actual is a t above ½, or the row's label. The threads of a
// column count whole numbers, each its rows, and the first of them takes them together. With more than one chunk of
// rows, each chunk's counts stand in `parts`, [chunks, 3, cols], until count_together.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    count_classes(float threshold, const float* p, const unsigned int* predicted, const float* t,
                  const unsigned int* labels, float* parts, float* counts, int rows, int cols, int width, int chunk) {
  __shared__ float both[COLUMN_BLOCK], ours[COLUMN_BLOCK], theirs[COLUMN_BLOCK];
  Column c(rows, width, chunk);
  float hits = 0.0f, positives = 0.0f, actuals = 0.0f;
  if (c.at < cols)
    for (int r = c.first; r < c.end; r += c.step) {
      size_t e = (size_t)r * cols + c.at;
      bool positive = predicted ? predicted[r] == c.at : p[e] > threshold;
      bool actual = labels ? labels[r] == c.at : t[e] > 0.5f;
      hits += positive && actual;
      positives += positive;
      actuals += actual;
    }
  hits = column_sum(hits, width, both);
  positives = column_sum(positives, width, ours);
  actuals = column_sum(actuals, width, theirs);
  if (threadIdx.x >= width || c.at >= cols) return;
  if (gridDim.y == 1) {
    counts[c.at] += hits;
    counts[cols + c.at] += positives;
    counts[2 * cols + c.at] += actuals;
  } else {
    size_t at = (size_t)blockIdx.y * 3 * cols + c.at;
    parts[at] = hits;
    parts[at + cols] = positives;
    parts[at + 2 * cols] = actuals;
  }
}

// counts += Σ over the chunks of parts, [chunks, cols]. Whole numbers below 2²⁴ are exact in any order.
extern "C" __global__ void __launch_bounds__(COLUMN_BLOCK)
    count_together(const float* parts, float* counts, int chunks, int cols, int width) {
  __shared__ float sums[COLUMN_BLOCK];
  Column c(chunks, width, chunks);
  float sum = 0.0f;
  if (c.at < cols)
    for (int k = c.first; k < c.end; k += c.step) sum += parts[(size_t)k * cols + c.at];
  sum = column_sum(sum, width, sums);
  if (threadIdx.x < width && c.at < cols) counts[c.at] += sum;
}

// Adds to counts [k, k]: row = actual class, column = predicted class. blockIdx.x is the actual class, blockIdx.y a run of
// 1024 predicted ones: a block looks at all rows, counts its own in shared memory, and adds them. Whole numbers are
// added atomically, so their order does not matter.
#define PAIRS 1024
extern "C" __global__ void __launch_bounds__(256)
    count_pairs(const unsigned int* actual, const unsigned int* predicted, float* counts, int n, int k) {
  __shared__ unsigned int found[PAIRS];
  unsigned int from = blockIdx.y * PAIRS;
  for (int j = threadIdx.x; j < PAIRS; j += 256) found[j] = 0;
  __syncthreads();
  for (int r = threadIdx.x; r < n; r += 256)
    if (actual[r] == blockIdx.x && predicted[r] - from < PAIRS) atomicAdd(&found[predicted[r] - from], 1u);
  __syncthreads();
  for (int j = threadIdx.x; j < PAIRS && from + j < k; j += 256)
    counts[(size_t)blockIdx.x * k + from + j] += (float)found[j];
}

// ---------------------------------------------------------------------------------- sums

// A sum and what rounding took from it: their sum has about 48 bits.
struct Exact {
  float sum, rest;
};

// a + b, with its rounding error (Knuth 1969: correct whichever is larger).
__device__ __forceinline__ Exact exact_sum(float a, float b) {
  float sum = a + b, from_b = sum - a;
  return {sum, (a - (sum - from_b)) + (b - from_b)};
}

__device__ __forceinline__ Exact operator+(Exact a, Exact b) {
  Exact both = exact_sum(a.sum, b.sum);
  return {both.sum, both.rest + (a.rest + b.rest)};
}

// x · w with its rounding error.
__device__ __forceinline__ Exact exact_product(float x, float w) {
  float product = x * w;
  return {product, fmaf(x, w, -product)};
}

// The sum over the block of 256 threads, in its first thread: a tree. `all` is shared memory for 256.
#define SUM_BLOCK 256
__device__ __forceinline__ Exact block_exact(Exact x, Exact* all) {
  all[threadIdx.x] = x;
  for (int half = SUM_BLOCK / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) all[threadIdx.x] = x = x + all[threadIdx.x + half];
  }
  return x;
}

// acc[0] + acc[1] += x, the second number being what rounding takes from the first. A sum that is not finite has no rest.
__device__ __forceinline__ void add_to(float* acc, Exact x) {
  x = x + Exact{acc[0], acc[1]};
  float sum = x.sum + x.rest;
  bool finite = fabsf(x.sum) < INFINITY_F && fabsf(sum) < INFINITY_F;
  acc[0] = finite ? sum : x.sum;
  acc[1] = finite ? x.rest - (sum - x.sum) : 0.0f;
}

// What the blocks of a sum do with theirs: one block adds it to acc, more leave theirs in `parts`, [blocks, 2].
__device__ __forceinline__ void finish(Exact x, float* parts, float* acc) {
  if (threadIdx.x > 0) return;
  if (gridDim.x == 1) {
    add_to(acc, x);
  } else {
    parts[2 * blockIdx.x] = x.sum;
    parts[2 * blockIdx.x + 1] = x.rest;
  }
}

// acc[0] + acc[1] += Σᵢ x[i] · weights[i]; weights may be absent. Every number is read once. With more than one block, the
// sum stands in `parts` until accumulate_parts.
extern "C" __global__ void __launch_bounds__(SUM_BLOCK)
    accumulate(const float* x, const float* weights, float* parts, float* acc, size_t n) {
  __shared__ Exact all[SUM_BLOCK];
  Exact sum = {0.0f, 0.0f};
  EACH_ELEMENT(i, n) sum = sum + (weights ? exact_product(x[i], weights[i]) : Exact{x[i], 0.0f});
  finish(block_exact(sum, all), parts, acc);
}

// acc[0] + acc[1] += Σᵢ x[i]², as accumulate.
extern "C" __global__ void __launch_bounds__(SUM_BLOCK)
    accumulate_squares(const float* x, float* parts, float* acc, size_t n) {
  __shared__ Exact all[SUM_BLOCK];
  size_t fours = by_fours(x) ? n / 4 : 0;
  Exact sum = {0.0f, 0.0f};
  EACH_ELEMENT(i, fours) {
    Four v = ((const Four*)x)[i];
#pragma unroll
    for (int k = 0; k < 4; ++k) sum = sum + exact_product(v.at[k], v.at[k]);
  }
  EACH_ELEMENT(i, n - 4 * fours) sum = sum + exact_product(x[4 * fours + i], x[4 * fours + i]);
  finish(block_exact(sum, all), parts, acc);
}

// acc[0] + acc[1] += the sums of `count` blocks, in an order of their own. One block.
extern "C" __global__ void __launch_bounds__(SUM_BLOCK) accumulate_parts(const float* parts, float* acc, int count) {
  __shared__ Exact all[SUM_BLOCK];
  Exact sum = {0.0f, 0.0f};
  for (int i = threadIdx.x; i < count; i += SUM_BLOCK) sum = sum + Exact{parts[2 * i], parts[2 * i + 1]};
  finish(block_exact(sum, all), (float*)0, acc);
}
