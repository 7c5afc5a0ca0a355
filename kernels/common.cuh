// What every kernel file shares: launch conventions, activations, reductions within a block, counter-based noise.
//
// build.rs puts this text in place of `#include "common.cuh"`, and other headers likewise. NVRTC has no standard headers, so constants that
// <math.h> would give are spelled out.
//
// Conventions
//   Matrices are row-major [R, C]; pointers need no alignment beyond a float's.
//   A kernel that goes element by element walks a grid-stride loop, so any grid covers any n.
//   No float is ever added atomically: sums run in an order that the shapes fix, and two runs give the same bits.
//   A null pointer stands for an operand that is absent.

#pragma once

#define WARP 32
#define FULL_WARP 0xffffffffu
#define INFINITY_F __int_as_float(0x7f800000)

// for (i = my first element; i < n; i += all threads of the grid)
#define EACH_ELEMENT(i, n)                                                                     \
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < (n); i += (size_t)gridDim.x * blockDim.x)

// ---------------------------------------------------------------------------------- activations

// The numbers are src/cuda/abi.rs's.
enum {
  LINEAR, RELU, SIGMOID, SOFTMAX, TANH, SOFTPLUS, SOFTSIGN, ELU, SELU, EXPONENTIAL, LEAKY_RELU, GELU, GELU_TANH, SILU
};

// An activation with its parameter: α of elu, the slope below 0 of leaky_relu.
struct Activation {
  int kind;
  float parameter;
};

#define SELU_SCALE 1.0507009873554805f
#define SELU_ALPHA 1.6732632423543772f
#define SQRT_2_OVER_PI 0.7978845608028654f
#define INV_SQRT_2_PI 0.3989422804014327f

// 1 / (1 + e⁻ˣ), by an exponential that cannot overflow: a tail keeps its digits as long as it is a number.
__device__ __forceinline__ float sigmoid(float x) {
  float e = expf(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// φ(x) = e^(−x²/2) / √(2π). The exponent would carry x²'s rounding into the result, times its size: so that is put back.
__device__ __forceinline__ float normal_density(float x) {
  float square = x * x, rest = fmaf(x, x, -square), density = INV_SQRT_2_PI * expf(-0.5f * square);
  return square < 200.0f ? fmaf(density, -0.5f * rest, density) : density;
}

// √(2/π) (x + 0.044715 x³)
__device__ __forceinline__ float gelu_inner(float x) { return SQRT_2_OVER_PI * (x + 0.044715f * x * x * x); }

// f(x), element by element. NaN stays NaN.
__device__ __forceinline__ float activation_value(Activation f, float x) {
  switch (f.kind) {
    case RELU: return x < 0.0f ? 0.0f : x;
    case SIGMOID: return sigmoid(x);
    case TANH: return tanhf(x);
    case SOFTPLUS: return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))) + (x != x ? x : 0.0f);  // e^x would overflow
    case SOFTSIGN: return x / (1.0f + fabsf(x));
    case ELU: return x > 0.0f ? x : f.parameter * expm1f(x);
    case SELU: return SELU_SCALE * (x > 0.0f ? x : SELU_ALPHA * expm1f(x));
    case EXPONENTIAL: return expf(x);
    case LEAKY_RELU: return x > 0.0f ? x : f.parameter * x;
    case GELU: return x * normcdff(x);
    case GELU_TANH: return x * sigmoid(2.0f * gelu_inner(x));  // ½ (1 + tanh u) = σ(2u)
    case SILU: return x * sigmoid(x);
    default: return x;
  }
}

// f′ in terms of y = f(x), for the kinds where y is enough.
__device__ __forceinline__ float activation_slope(Activation f, float y) {
  switch (f.kind) {
    case RELU: return y > 0.0f ? 1.0f : 0.0f;
    case SIGMOID: return y * (1.0f - y);
    case TANH: return 1.0f - y * y;
    case SOFTPLUS: return -expm1f(-y);
    case SOFTSIGN: return (1.0f - fabsf(y)) * (1.0f - fabsf(y));
    case ELU: return y > 0.0f ? 1.0f : y + f.parameter;
    case SELU: return y > 0.0f ? SELU_SCALE : y + SELU_SCALE * SELU_ALPHA;
    case EXPONENTIAL: return y;
    case LEAKY_RELU: return y > 0.0f ? 1.0f : f.parameter;
    default: return 1.0f;
  }
}

// f′ in terms of x, for the kinds where y is not enough.
__device__ __forceinline__ float activation_slope_at(Activation f, float x) {
  switch (f.kind) {
    case GELU: return normcdff(x) + x * normal_density(x);
    case GELU_TANH: {
      float u = 2.0f * gelu_inner(x), s = sigmoid(u);
      return s + 2.0f * x * s * sigmoid(-u) * SQRT_2_OVER_PI * (1.0f + 3.0f * 0.044715f * x * x);
    }
    case SILU: return sigmoid(x) * (1.0f + x * sigmoid(-x));
    default: return 1.0f;
  }
}

// ---------------------------------------------------------------------------------- four at a time

// Four floats that are moved at once, where they start at a multiple of 16 bytes.
struct __align__(16) Four {
  float at[4];
};

// Whether four floats can be moved at once from here.
__device__ __forceinline__ bool by_fours(const void* p) { return (size_t)p % sizeof(Four) == 0; }

// y = f(y).
template <class F>
__device__ __forceinline__ void each(float* y, size_t n, F f) {
  size_t fours = by_fours(y) ? n / 4 : 0;
  EACH_ELEMENT(i, fours) {
    Four v = ((const Four*)y)[i];
#pragma unroll
    for (int k = 0; k < 4; ++k) v.at[k] = f(v.at[k]);
    ((Four*)y)[i] = v;
  }
  EACH_ELEMENT(i, n - 4 * fours) y[4 * fours + i] = f(y[4 * fours + i]);
}

// y = f(x, y).
template <class F>
__device__ __forceinline__ void each(const float* x, float* y, size_t n, F f) {
  size_t fours = by_fours(x) && by_fours(y) ? n / 4 : 0;
  EACH_ELEMENT(i, fours) {
    Four a = ((const Four*)x)[i], b = ((const Four*)y)[i];
#pragma unroll
    for (int k = 0; k < 4; ++k) b.at[k] = f(a.at[k], b.at[k]);
    ((Four*)y)[i] = b;
  }
  EACH_ELEMENT(i, n - 4 * fours) y[4 * fours + i] = f(x[4 * fours + i], y[4 * fours + i]);
}

// ---------------------------------------------------------------------------------- reductions

// The sum over the warp, in every lane. A butterfly adds the same pairs in every lane, so all get the same bits.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(FULL_WARP, x, distance);
  return x;
}

// The largest over the warp, in every lane; NaN loses, as in fmaxf.
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int distance = WARP / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, distance));
  return x;
}

// x of all threads of a block of whole warps as one, in every thread: warps first, then what the warps have.
// `fold` is warp_sum or warp_max, `none` what changes nothing; `partial` is shared memory for one float a warp (32 do). All
// threads of the block must call it.
template <class Fold>
__device__ __forceinline__ float block_fold(float x, float none, Fold fold, float* partial) {
  int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  x = fold(x);
  __syncthreads();  // whoever still reads `partial` from an earlier call is done
  if (lane == 0) partial[warp] = x;
  __syncthreads();
  return fold(lane < warps ? partial[lane] : none);
}

// The sum over a block, in every thread.
__device__ __forceinline__ float block_sum(float x, float* partial) {
  return block_fold(x, 0.0f, warp_sum, partial);
}

// The largest over a block, in every thread; NaN loses.
__device__ __forceinline__ float block_max(float x, float* partial) {
  return block_fold(x, -INFINITY_F, warp_max, partial);
}

// ---------------------------------------------------------------------------------- noise

// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, §3.3): the same words as src/rng.rs draws on the processor.
__device__ __forceinline__ uint4 philox(uint4 c, unsigned int key0, unsigned int key1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    unsigned int high0 = __umulhi(0xD2511F53u, c.x), low0 = 0xD2511F53u * c.x;
    unsigned int high1 = __umulhi(0xCD9E8D57u, c.z), low1 = 0xCD9E8D57u * c.z;
    c = make_uint4(high1 ^ c.y ^ key0, low1, high0 ^ c.w ^ key1, low0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c;
}
