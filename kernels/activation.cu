// Activations and their derivatives. Equations are in common.cuh and src/activations.rs.

#include "common.cuh"
#include "rows.cuh"

// ---------------------------------------------------------------------------------- element by element

// body(f) with f's kind known to the compiler: the choice is made once, outside of the loop over the elements.
template <class Body>
__device__ __forceinline__ void with_kind(Activation f, Body body) {
  switch (f.kind) {
    case RELU: return body(Activation{RELU, f.parameter});
    case SIGMOID: return body(Activation{SIGMOID, f.parameter});
    case TANH: return body(Activation{TANH, f.parameter});
    case SOFTPLUS: return body(Activation{SOFTPLUS, f.parameter});
    case SOFTSIGN: return body(Activation{SOFTSIGN, f.parameter});
    case ELU: return body(Activation{ELU, f.parameter});
    case SELU: return body(Activation{SELU, f.parameter});
    case EXPONENTIAL: return body(Activation{EXPONENTIAL, f.parameter});
    case LEAKY_RELU: return body(Activation{LEAKY_RELU, f.parameter});
    case GELU: return body(Activation{GELU, f.parameter});
    case GELU_TANH: return body(Activation{GELU_TANH, f.parameter});
    case SILU: return body(Activation{SILU, f.parameter});
  }
}

// y = f(y). Four elements at a time; each is read and written once.
extern "C" __global__ void activate(Activation f, float* y, size_t n) {
  with_kind(f, [&](Activation f) { each(y, n, [=](float x) { return activation_value(f, x); }); });
}

// dy = dy ⊙ f′(y), for the kinds whose derivative is a function of y = f(x).
extern "C" __global__ void activate_backward(Activation f, const float* y, float* dy, size_t n) {
  with_kind(f, [&](Activation f) { each(y, dy, n, [=](float y, float d) { return d * activation_slope(f, y); }); });
}

// dy = dy ⊙ f′(x), for the kinds whose derivative needs x.
extern "C" __global__ void activate_backward_at(Activation f, const float* x, float* dy, size_t n) {
  switch (f.kind) {
    case GELU: return each(x, dy, n, [=](float x, float d) { return d * activation_slope_at({GELU}, x); });
    case GELU_TANH: return each(x, dy, n, [=](float x, float d) { return d * activation_slope_at({GELU_TANH}, x); });
    case SILU: return each(x, dy, n, [=](float x, float d) { return d * activation_slope_at({SILU}, x); });
  }
}

// ---------------------------------------------------------------------------------- softmax

// yᵢ = e^(yᵢ − max) / Σⱼ e^(yⱼ − max), in place. Read once (see Row), written once.
template <class Group>
__device__ __forceinline__ void softmax(Group group, float* y, int cols) {
  Row<Group, 1> row = {group, cols, {y}};
  float largest, sum;
  row.read();
  row.exponentials(largest, sum);
  float scale = 1.0f / sum;
  row.each([&](int j, const float* v) { y[j] = scale * expf(v[0] - largest); });
}

// `width` lanes share a row.
extern "C" __global__ void __launch_bounds__(128) softmax_short(float* y, int rows, int cols, int width) {
  Lanes lanes = {width};
  int r = lanes.row();
  softmax(lanes, y + (size_t)r * cols, r < rows ? cols : 0);
}

// A block computes a row.
extern "C" __global__ void __launch_bounds__(ROW_BLOCK) softmax_long(float* y, int cols) {
  __shared__ float partial[WARP];
  softmax(Block{partial}, y + (size_t)blockIdx.x * cols, cols);
}

// dyᵢ = yᵢ (dyᵢ − Σⱼ dyⱼ yⱼ), in place. y and dy are read once, dy is written once.
template <class Group>
__device__ __forceinline__ void softmax_backward(Group group, const float* y, float* dy, int cols) {
  Row<Group, 2> row = {group, cols, {y, dy}};
  float dot = 0.0f;
  row.read();
  row.each([&](int, const float* v) { dot = fmaf(v[0], v[1], dot); });
  dot = group.sum(dot);
  row.each([&](int j, const float* v) { dy[j] = v[0] * (v[1] - dot); });
}

extern "C" __global__ void __launch_bounds__(128)
    softmax_backward_short(const float* y, float* dy, int rows, int cols, int width) {
  Lanes lanes = {width};
  int r = lanes.row();
  size_t at = (size_t)r * cols;
  softmax_backward(lanes, y + at, dy + at, r < rows ? cols : 0);
}

extern "C" __global__ void __launch_bounds__(ROW_BLOCK) softmax_backward_long(const float* y, float* dy, int cols) {
  __shared__ float partial[WARP];
  size_t at = (size_t)blockIdx.x * cols;
  softmax_backward(Block{partial}, y + at, dy + at, cols);
}
