// Optimizer steps: one pass over the parameter w, its gradient g and its slots. Every number is read and written once.
//
// A thread takes every (grid's threads)-th element, four at a time where all of them start at a multiple of 16 bytes.
// Every rule first shrinks the parameter: w ← w − decay · w. Where a formula has 1 − β, `rest` is that number: in
// f32, 1 − 0.999 would keep four digits. Equations are in src/optimizers.

#include "common.cuh"

// f(g, y) for every element, where y is [w, slots...] of that element, to be changed.
template <int N, class F>
__device__ __forceinline__ void each(const float* g, float* const (&y)[N], size_t n, F f) {
  bool aligned = by_fours(g);
#pragma unroll
  for (int i = 0; i < N; ++i) aligned = aligned && by_fours(y[i]);
  size_t fours = aligned ? n / 4 : 0;
  EACH_ELEMENT(e, fours) {
    Four gradient = ((const Four*)g)[e], values[N];
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = ((const Four*)y[i])[e];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      float v[N];
#pragma unroll
      for (int i = 0; i < N; ++i) v[i] = values[i].at[k];
      f(gradient.at[k], v);
#pragma unroll
      for (int i = 0; i < N; ++i) values[i].at[k] = v[i];
    }
#pragma unroll
    for (int i = 0; i < N; ++i) ((Four*)y[i])[e] = values[i];
  }
  EACH_ELEMENT(rest, n - 4 * fours) {
    size_t e = 4 * fours + rest;
    float v[N];
#pragma unroll
    for (int i = 0; i < N; ++i) v[i] = y[i][e];
    f(g[e], v);
#pragma unroll
    for (int i = 0; i < N; ++i) y[i][e] = v[i];
  }
}

// w ← w − lr g
extern "C" __global__ void sgd(float decay, float lr, const float* g, float* w, size_t n) {
  each(g, w, n, [=](float g, float w) { return fmaf(-lr, g, fmaf(-decay, w, w)); });
}

// m ← momentum · m − lr g; w ← w + m
extern "C" __global__ void momentum(float decay, float lr, float momentum, const float* g, float* w, float* m,
                                    size_t n) {
  each<2>(g, {w, m}, n, [=](float g, float* y) {
    y[1] = fmaf(momentum, y[1], -(lr * g));
    y[0] = fmaf(-decay, y[0], y[0]) + y[1];
  });
}

// m ← momentum · m − lr g; w ← w + momentum · m − lr g
extern "C" __global__ void nesterov(float decay, float lr, float momentum, const float* g, float* w, float* m,
                                    size_t n) {
  each<2>(g, {w, m}, n, [=](float g, float* y) {
    float step = lr * g;
    y[1] = fmaf(momentum, y[1], -step);
    y[0] = fmaf(-decay, y[0], y[0]) + fmaf(momentum, y[1], -step);
  });
}

// v ← ρ v + (1 − ρ) g²; w ← w − lr g / √(v + ε)
extern "C" __global__ void rmsprop(float decay, float lr, float rho, float rest, float epsilon, const float* g, float* w,
                                   float* v, size_t n) {
  each<2>(g, {w, v}, n, [=](float g, float* y) {
    y[1] = fmaf(rho, y[1], rest * g * g);
    y[0] = fmaf(-decay, y[0], y[0]) - lr * g / sqrtf(y[1] + epsilon);
  });
}

// v ← ρ v + (1 − ρ) g²; m ← momentum · m + lr g / √(v + ε); w ← w − m
extern "C" __global__ void rmsprop_momentum(float decay, float lr, float rho, float rest, float momentum, float epsilon,
                                            const float* g, float* w, float* v, float* m, size_t n) {
  each<3>(g, {w, v, m}, n, [=](float g, float* y) {
    y[1] = fmaf(rho, y[1], rest * g * g);
    y[2] = fmaf(momentum, y[2], lr * g / sqrtf(y[1] + epsilon));
    y[0] = fmaf(-decay, y[0], y[0]) - y[2];
  });
}

// v − a², which rounding must not make negative. NaN stays.
__device__ __forceinline__ float centered_variance(float v, float a) {
  float variance = fmaf(-a, a, v);
  return variance < 0.0f ? 0.0f : variance;
}

// v ← ρ v + (1 − ρ) g²; a ← ρ a + (1 − ρ) g; w ← w − lr g / √(v − a² + ε)
extern "C" __global__ void rmsprop_centered(float decay, float lr, float rho, float rest, float epsilon, const float* g,
                                            float* w, float* v, float* a, size_t n) {
  each<3>(g, {w, v, a}, n, [=](float g, float* y) {
    y[1] = fmaf(rho, y[1], rest * g * g);
    y[2] = fmaf(rho, y[2], rest * g);
    y[0] = fmaf(-decay, y[0], y[0]) - lr * g / sqrtf(centered_variance(y[1], y[2]) + epsilon);
  });
}

// Both: m ← momentum · m + lr g / √(v − a² + ε); w ← w − m
extern "C" __global__ void rmsprop_centered_momentum(float decay, float lr, float rho, float rest, float momentum,
                                                     float epsilon, const float* g, float* w, float* v, float* m,
                                                     float* a, size_t n) {
  each<4>(g, {w, v, m, a}, n, [=](float g, float* y) {
    y[1] = fmaf(rho, y[1], rest * g * g);
    y[3] = fmaf(rho, y[3], rest * g);
    y[2] = fmaf(momentum, y[2], lr * g / sqrtf(centered_variance(y[1], y[3]) + epsilon));
    y[0] = fmaf(-decay, y[0], y[0]) - y[2];
  });
}

// a ← a + g²; w ← w − lr g / √(a + ε)
extern "C" __global__ void adagrad(float decay, float lr, float epsilon, const float* g, float* w, float* a, size_t n) {
  each<2>(g, {w, a}, n, [=](float g, float* y) {
    y[1] = fmaf(g, g, y[1]);
    y[0] = fmaf(-decay, y[0], y[0]) - lr * g / sqrtf(y[1] + epsilon);
  });
}

// a ← ρ a + (1 − ρ) g²; u = g √(d + ε) / √(a + ε); d ← ρ d + (1 − ρ) u²; w ← w − lr u
extern "C" __global__ void adadelta(float decay, float lr, float rho, float rest, float epsilon, const float* g,
                                    float* w, float* a, float* d, size_t n) {
  each<3>(g, {w, a, d}, n, [=](float g, float* y) {
    y[1] = fmaf(rho, y[1], rest * g * g);
    float u = g * sqrtf(y[2] + epsilon) / sqrtf(y[1] + epsilon);
    y[2] = fmaf(rho, y[2], rest * u * u);
    y[0] = fmaf(-lr, u, fmaf(-decay, y[0], y[0]));
  });
}

// m ← m + (1 − β)(g − m), for the means of gradients and of their squares.
__device__ __forceinline__ float mean_step(float m, float rest, float g) { return fmaf(rest, g - m, m); }
__device__ __forceinline__ float square_step(float v, float rest, float g) { return fmaf(rest, fmaf(g, g, -v), v); }

// m ← m + (1 − β₁)(g − m); v ← v + (1 − β₂)(g² − v); w ← w − α m / (√v + ε)
extern "C" __global__ void adam(float decay, float alpha, float rest_1, float rest_2, float epsilon, const float* g,
                                float* w, float* m, float* v, size_t n) {
  each<3>(g, {w, m, v}, n, [=](float g, float* y) {
    y[1] = mean_step(y[1], rest_1, g);
    y[2] = square_step(y[2], rest_2, g);
    y[0] = fmaf(-decay, y[0], y[0]) - alpha * y[1] / (sqrtf(y[2]) + epsilon);
  });
}

// As adam, and s ← max(s, v); w ← w − α m / (√s + ε)
extern "C" __global__ void amsgrad(float decay, float alpha, float rest_1, float rest_2, float epsilon, const float* g,
                                   float* w, float* m, float* v, float* s, size_t n) {
  each<4>(g, {w, m, v, s}, n, [=](float g, float* y) {
    y[1] = mean_step(y[1], rest_1, g);
    y[2] = square_step(y[2], rest_2, g);
    y[3] = fmaxf(y[3], y[2]);
    y[0] = fmaf(-decay, y[0], y[0]) - alpha * y[1] / (sqrtf(y[3]) + epsilon);
  });
}

// m ← m + (1 − β₁)(g − m); u ← max(β₂ u, |g|); w ← w − α m / (u + ε)
extern "C" __global__ void adamax(float decay, float alpha, float rest_1, float beta_2, float epsilon, const float* g,
                                  float* w, float* m, float* u, size_t n) {
  each<3>(g, {w, m, u}, n, [=](float g, float* y) {
    y[1] = mean_step(y[1], rest_1, g);
    y[2] = fmaxf(beta_2 * y[2], fabsf(g));
    y[0] = fmaf(-decay, y[0], y[0]) - alpha * y[1] / (y[2] + epsilon);
  });
}

// m and v as adam; w ← w − (from_m m + from_g g) / (√(from_v v) + ε), where from_m and from_g include the learning rate
extern "C" __global__ void nadam(float decay, float rest_1, float rest_2, float epsilon, float from_m, float from_g,
                                 float from_v, const float* g, float* w, float* m, float* v, size_t n) {
  each<3>(g, {w, m, v}, n, [=](float g, float* y) {
    y[1] = mean_step(y[1], rest_1, g);
    y[2] = square_step(y[2], rest_2, g);
    float direction = fmaf(from_m, y[1], from_g * g);
    y[0] = fmaf(-decay, y[0], y[0]) - direction / (sqrtf(from_v * y[2]) + epsilon);
  });
}

// y = y · min(1, limit / √(acc[0] + acc[1])), in place. Below the limit, y is left alone.
extern "C" __global__ void limit_norm(float limit, const float* acc, float* y, size_t n) {
  float factor = limit / sqrtf(acc[0] + acc[1]);
  if (factor < 1.0f) each(y, n, [=](float y) { return factor * y; });
}
