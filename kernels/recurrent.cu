// One step of an LSTM and of a GRU, and their backwards: everything behind the GEMMs, in one pass.
//
// A thread computes one unit u of one sample n, all its gates. A row of `gates` holds blocks of U columns, so that the
// threads of a warp touch neighbouring numbers of each block. Every number is read once and written once.

#include "common.cuh"

// `gates` [N, 4U] in the order i, f, ĉ, o: in, the pre-activations; out,
//   i = σ(·), f = σ(·), ĉ = tanh(·), o = σ(·)
//   c = f ⊙ c₋₁ + i ⊙ ĉ
//   h = o ⊙ tanh(c)
// with `recurrent` for σ and `activation` for tanh. c₋₁ may be absent, which is 0.
extern "C" __global__ void lstm_step(Activation activation, Activation recurrent, float* gates, const float* c_prev,
                                     float* c, float* h, int n, int units) {
  EACH_ELEMENT(e, (size_t)n * units) {
    size_t row = e / units;
    float* gate = gates + row * 4 * units + (e - row * units);
    float i = activation_value(recurrent, gate[0]);
    float f = activation_value(recurrent, gate[units]);
    float candidate = activation_value(activation, gate[2 * (size_t)units]);
    float o = activation_value(recurrent, gate[3 * (size_t)units]);
    float cell = fmaf(f, c_prev ? c_prev[e] : 0.0f, i * candidate);
    gate[0] = i;
    gate[units] = f;
    gate[2 * (size_t)units] = candidate;
    gate[3 * (size_t)units] = o;
    c[e] = cell;
    h[e] = o * activation_value(activation, cell);
  }
}

// With t = tanh(c), and dc as the next step left it:
//   dc += dh ⊙ o ⊙ tanh′
//   do = dh ⊙ t,  di = dc ⊙ ĉ,  df = dc ⊙ c₋₁,  dĉ = dc ⊙ i, each times its gate's derivative
//   dc = dc ⊙ f
// `gates` [N, 4U] holds the gates, and then the gradients of their pre-activations.
extern "C" __global__ void lstm_step_backward(Activation activation, Activation recurrent, float* gates,
                                              const float* c_prev, const float* c, const float* dh, float* dc, int n,
                                              int units) {
  EACH_ELEMENT(e, (size_t)n * units) {
    size_t row = e / units;
    float* gate = gates + row * 4 * units + (e - row * units);
    float i = gate[0], f = gate[units], candidate = gate[2 * (size_t)units], o = gate[3 * (size_t)units];
    float d = dh[e], t = activation_value(activation, c[e]);
    float cell = fmaf(d * o, activation_slope(activation, t), dc[e]);
    gate[0] = cell * candidate * activation_slope(recurrent, i);
    gate[units] = cell * (c_prev ? c_prev[e] : 0.0f) * activation_slope(recurrent, f);
    gate[2 * (size_t)units] = cell * i * activation_slope(activation, candidate);
    gate[3 * (size_t)units] = d * t * activation_slope(recurrent, o);
    dc[e] = cell * f;
  }
}

// `gates` [N, 3U] in the order z, r, ĥ: in, x W + bᵢ; `inner` [N, 3U] is h₋₁ U + bᵣ. Out,
//   z = σ(·), r = σ(·), ĥ = tanh(xĥ + r ⊙ innerĥ)
//   h = z ⊙ h₋₁ + (1 − z) ⊙ ĥ
extern "C" __global__ void gru_step(Activation activation, Activation recurrent, float* gates, const float* inner,
                                    const float* h_prev, float* h, int n, int units) {
  EACH_ELEMENT(e, (size_t)n * units) {
    size_t row = e / units, at = row * 3 * units + (e - row * units);
    float* gate = gates + at;
    const float* in = inner + at;
    float z = activation_value(recurrent, gate[0] + in[0]);
    float r = activation_value(recurrent, gate[units] + in[units]);
    float candidate = activation_value(activation, fmaf(r, in[2 * (size_t)units], gate[2 * (size_t)units]));
    gate[0] = z;
    gate[units] = r;
    gate[2 * (size_t)units] = candidate;
    h[e] = fmaf(z, h_prev ? h_prev[e] : 0.0f, (1.0f - z) * candidate);
  }
}

// dz = dh ⊙ (h₋₁ − ĥ) ⊙ σ′,  dĥ = dh ⊙ (1 − z) ⊙ tanh′,  dr = dĥ ⊙ innerĥ ⊙ σ′
// `gates` becomes the gradient of x W + bᵢ, which is dz, dr, dĥ; `inner` that of h₋₁ U + bᵣ, which is dz, dr, dĥ ⊙ r;
// and dh the part of dh₋₁ that does not go through the GEMM, dh ⊙ z.
extern "C" __global__ void gru_step_backward(Activation activation, Activation recurrent, float* gates, float* inner,
                                             const float* h_prev, float* dh, int n, int units) {
  EACH_ELEMENT(e, (size_t)n * units) {
    size_t row = e / units, at = row * 3 * units + (e - row * units);
    float* gate = gates + at;
    float* in = inner + at;
    float z = gate[0], r = gate[units], candidate = gate[2 * (size_t)units], d = dh[e];
    float dz = d * ((h_prev ? h_prev[e] : 0.0f) - candidate) * activation_slope(recurrent, z);
    float dcandidate = d * (1.0f - z) * activation_slope(activation, candidate);
    float dr = dcandidate * in[2 * (size_t)units] * activation_slope(recurrent, r);
    gate[0] = in[0] = dz;
    gate[units] = in[units] = dr;
    gate[2 * (size_t)units] = dcandidate;
    in[2 * (size_t)units] = dcandidate * r;
    dh[e] = d * z;
  }
}
