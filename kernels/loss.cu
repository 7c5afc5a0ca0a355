// Losses: each formula above its derivative; see src/losses for the equations.
//
// A row of the prediction [rows, cols] gives one number. Some lanes of a warp share a short row, a block a long one (see
// Lanes and Block): `..._short` and `..._long`. Every kernel can write the rows' losses, their gradients, or both, each
// prediction and target being read once; an output that is not wanted is null. Gradients are multiplied by
// scale · weight[row].
//
// Probabilities are clipped to [ε, 1 − ε]. In f32, 1 − ε has few digits left, so it is −ln that is clipped, to what
// it is at those ends.

#include "common.cuh"
#include "rows.cuh"

#define EPSILON 1e-7f
#define LEAST 1.00000005e-7f  // −ln(1 − ε)
#define MOST 16.118095f       // −ln ε
#define BELOW_ONE 0.99999994f

// The larger and the smaller; NaN stays.
__device__ __forceinline__ float at_least(float low, float x) { return x < low ? low : x; }
__device__ __forceinline__ float at_most(float high, float x) { return x > high ? high : x; }

// −ln clip(p)
__device__ __forceinline__ float minus_ln(float p) { return at_least(LEAST, -logf(at_least(EPSILON, p))); }

// −ln(1 − clip(p))
__device__ __forceinline__ float minus_ln_rest(float p) {
  return at_least(LEAST, at_most(MOST, -log1pf(-at_most(BELOW_ONE, p))));
}

// x where ε ≤ p ≤ 1 − ε, else 0: the slope of a clipped probability.
__device__ __forceinline__ float unclipped(float p, float x) {
  return p >= EPSILON && 1.0f - p >= EPSILON ? x : 0.0f;
}

// What a row's gradient is multiplied by.
template <class Group>
__device__ __forceinline__ float factor_of(Group group, float scale, const float* weights, bool there) {
  return weights ? scale * group.of_row(weights, there) : scale;
}

// ---------------------------------------------------------------------------------- losses that are a mean over columns

// The numbers are src/cuda/loss.rs's.
enum {
  SQUARED_ERROR, ABSOLUTE_ERROR, PERCENTAGE_ERROR, LOGARITHMIC_ERROR, HINGE, SQUARED_HINGE, HUBER, BINARY, BINARY_LOGITS
};

// −1, 0 or 1; NaN stays.
__device__ __forceinline__ float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x; }

// A target of a hinge loss: −1 or 1; a 0 counts as −1.
__device__ __forceinline__ float sign_of_class(float t) { return t == 0.0f ? -1.0f : t; }

// The loss of one prediction p with target t.
__device__ __forceinline__ float mean_loss_value(int loss, float delta, float p, float t) {
  float e = p - t;
  switch (loss) {
    case ABSOLUTE_ERROR: return fabsf(e);
    case PERCENTAGE_ERROR: return 100.0f * fabsf(e) / at_least(EPSILON, fabsf(t));
    case LOGARITHMIC_ERROR: {
      float apart = log1pf(at_least(EPSILON, p)) - log1pf(at_least(EPSILON, t));
      return apart * apart;
    }
    case HINGE: return at_least(0.0f, fmaf(-sign_of_class(t), p, 1.0f));
    case SQUARED_HINGE: {
      float short_of = at_least(0.0f, fmaf(-sign_of_class(t), p, 1.0f));
      return short_of * short_of;
    }
    case HUBER: return fabsf(e) > delta ? delta * (fabsf(e) - 0.5f * delta) : 0.5f * e * e;
    case BINARY: return fmaf(t, minus_ln(p), (1.0f - t) * minus_ln_rest(p));
    case BINARY_LOGITS: return fmaf(-p, t, at_least(0.0f, p)) + log1pf(expf(-fabsf(p)));
    default: return e * e;
  }
}

// Its derivative by p.
__device__ __forceinline__ float mean_loss_slope(int loss, float delta, float p, float t) {
  float e = p - t;
  switch (loss) {
    case ABSOLUTE_ERROR: return sign(e);
    case PERCENTAGE_ERROR: return 100.0f * sign(e) / at_least(EPSILON, fabsf(t));
    case LOGARITHMIC_ERROR: {
      float apart = log1pf(at_least(EPSILON, p)) - log1pf(at_least(EPSILON, t));
      return p < EPSILON ? 0.0f : 2.0f * apart / (1.0f + p);
    }
    case HINGE: return fmaf(-sign_of_class(t), p, 1.0f) > 0.0f ? -sign_of_class(t) : 0.0f;
    case SQUARED_HINGE: return -2.0f * sign_of_class(t) * at_least(0.0f, fmaf(-sign_of_class(t), p, 1.0f));
    case HUBER: return at_most(delta, at_least(-delta, e));
    case BINARY: return unclipped(p, e / (p * (1.0f - p)));
    case BINARY_LOGITS: return sigmoid(p) - t;
    default: return 2.0f * e;
  }
}

// rows[r] = the mean of the row's losses; d = its gradient; y = σ(p), for a sigmoid that was folded into the loss.
template <class Group>
__device__ __forceinline__ void mean_loss(Group group, int loss, float delta, const float* p, const float* t,
                                          const float* weights, float scale, float* y, float* rows, float* d, int cols,
                                          bool there) {
  int r = group.row();
  size_t row = (size_t)r * cols;
  float sum = 0.0f, factor = d ? factor_of(group, scale, weights, there) / cols : 0.0f;
  if (there)
    for (int j = group.rank(); j < cols; j += group.size()) {
      float prediction = p[row + j], target = t[row + j];
      if (rows) sum += mean_loss_value(loss, delta, prediction, target);
      if (d) d[row + j] = factor * mean_loss_slope(loss, delta, prediction, target);
      if (y) y[row + j] = sigmoid(prediction);
    }
  if (!rows) return;
  sum = group.sum(sum);
  if (there && group.rank() == 0) rows[r] = sum / cols;
}

extern "C" __global__ void __launch_bounds__(128)
    mean_loss_short(int loss, float delta, const float* p, const float* t, const float* weights, float scale, float* y,
                    float* rows, float* d, int n, int cols, int width) {
  Lanes lanes = {width};
  mean_loss(lanes, loss, delta, p, t, weights, scale, y, rows, d, cols, lanes.row() < n);
}

extern "C" __global__ void __launch_bounds__(ROW_BLOCK)
    mean_loss_long(int loss, float delta, const float* p, const float* t, const float* weights, float scale, float* y,
                   float* rows, float* d, int cols) {
  __shared__ float partial[WARP];
  mean_loss(Block{partial}, loss, delta, p, t, weights, scale, y, rows, d, cols, true);
}

// ---------------------------------------------------------------------------------- crossentropies over classes

// One row of a crossentropy: its targets are a row of t, or one-hot at the label. A label that is no class meets no
// column, and nothing is read or written beside the row; the host refuses such labels.
template <class Group>
struct Classes {
  Row<Group, 2> row;  // the prediction, and t or nothing
  int label;          // −1 if there is a row of t

  __device__ __forceinline__ Classes(Group group, const float* p, const float* t, const unsigned int* labels, int cols,
                                     bool there) {
    size_t at = (size_t)group.row() * cols;
    row.group = group;
    row.cols = there ? cols : 0;
    row.x[0] = p + at;
    row.x[1] = labels ? (const float*)0 : t + at;
    row.read();
    label = labels ? (int)group.of_row(labels, there) : -1;
  }

  // The target of column j, given what was read of t.
  __device__ __forceinline__ float target(int j, float t) const { return label < 0 ? t : j == label ? 1.0f : 0.0f; }
};

// From logits z: rows[r] = −Σⱼ tⱼ ln softmax(z)ⱼ = Σⱼ tⱼ (lse − zⱼ), with lse = ln Σⱼ e^zⱼ; y = softmax(z);
// d = factor · (y Σⱼ tⱼ − t). The end of a training step in one pass: z and t are read once; y, rows and d written once.
template <class Group>
__device__ __forceinline__ void softmax_crossentropy(Group group, const float* z, const float* t,
                                                     const unsigned int* labels, const float* weights, float scale,
                                                     float* y, float* rows, float* d, int cols, bool there) {
  int r = group.row();
  size_t at = (size_t)r * cols;
  Classes<Group> classes(group, z, t, labels, cols, there);
  Row<Group, 2>& row = classes.row;

  float largest, sum;
  row.exponentials(largest, sum);
  float lse = largest + logf(sum), share = 1.0f / sum;

  float loss = 0.0f, total = 0.0f;
  row.each([&](int j, const float* v) {
    float target = classes.target(j, v[1]);
    if (classes.label < 0 || j == classes.label) loss += target * (lse - v[0]);
    total += target;
  });
  if (rows) {
    loss = group.sum(loss);
    if (there && group.rank() == 0) rows[r] = loss;
  }
  if (!y && !d) return;
  if (d) total = labels ? 1.0f : group.sum(total);
  float factor = d ? factor_of(group, scale, weights, there) : 0.0f;
  row.each([&](int j, const float* v) {
    float probability = share * expf(v[0] - largest);
    if (y) y[at + j] = probability;
    if (d) d[at + j] = factor * fmaf(probability, total, -classes.target(j, v[1]));
  });
}

extern "C" __global__ void __launch_bounds__(128)
    softmax_crossentropy_short(const float* z, const float* t, const unsigned int* labels, const float* weights,
                               float scale, float* y, float* rows, float* d, int n, int cols, int width) {
  Lanes lanes = {width};
  softmax_crossentropy(lanes, z, t, labels, weights, scale, y, rows, d, cols, lanes.row() < n);
}

extern "C" __global__ void __launch_bounds__(ROW_BLOCK)
    softmax_crossentropy_long(const float* z, const float* t, const unsigned int* labels, const float* weights,
                              float scale, float* y, float* rows, float* d, int cols) {
  __shared__ float partial[WARP];
  softmax_crossentropy(Block{partial}, z, t, labels, weights, scale, y, rows, d, cols, true);
}

// From probabilities, with q = p / Σ p: rows[r] = −Σⱼ tⱼ ln clip(qⱼ);
// gⱼ = ∂L/∂qⱼ = −tⱼ / qⱼ, or 0 where qⱼ is clipped, and d = factor · (g − Σⱼ gⱼ qⱼ) / Σ p.
template <class Group>
__device__ __forceinline__ void crossentropy(Group group, const float* p, const float* t, const unsigned int* labels,
                                             const float* weights, float scale, float* rows, float* d, int cols,
                                             bool there) {
  int r = group.row();
  size_t at = (size_t)r * cols;
  Classes<Group> classes(group, p, t, labels, cols, there);
  Row<Group, 2>& row = classes.row;

  float sum = 0.0f;
  row.each([&](int, const float* v) { sum += v[0]; });
  sum = group.sum(sum);
  float share = 1.0f / sum;

  float loss = 0.0f, total = 0.0f;
  row.each([&](int j, const float* v) {
    float q = v[0] * share, target = classes.target(j, v[1]);
    if (classes.label < 0 || j == classes.label) loss += target * minus_ln(q);
    total += unclipped(q, target);
  });
  if (rows) {
    loss = group.sum(loss);
    if (there && group.rank() == 0) rows[r] = loss;
  }
  if (!d) return;
  total = group.sum(total);
  float factor = factor_of(group, scale, weights, there) * share;
  row.each([&](int j, const float* v) {
    float q = v[0] * share;
    d[at + j] = factor * (total - unclipped(q, classes.target(j, v[1]) / q));
  });
}

extern "C" __global__ void __launch_bounds__(128)
    crossentropy_short(const float* p, const float* t, const unsigned int* labels, const float* weights, float scale,
                       float* rows, float* d, int n, int cols, int width) {
  Lanes lanes = {width};
  crossentropy(lanes, p, t, labels, weights, scale, rows, d, cols, lanes.row() < n);
}

extern "C" __global__ void __launch_bounds__(ROW_BLOCK)
    crossentropy_long(const float* p, const float* t, const unsigned int* labels, const float* weights, float scale,
                      float* rows, float* d, int cols) {
  __shared__ float partial[WARP];
  crossentropy(Block{partial}, p, t, labels, weights, scale, rows, d, cols, true);
}
