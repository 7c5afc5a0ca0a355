// Element by element: a thread takes every (all threads of the grid)-th element.

#include "common.cuh"

// y = value
extern "C" __global__ void fill(float value, float* y, size_t n) { EACH_ELEMENT(i, n) y[i] = value; }

// y = x
extern "C" __global__ void copy(const float* x, float* y, size_t n) { EACH_ELEMENT(i, n) y[i] = x[i]; }

// y = scale · bytes: images as their files hold them.
extern "C" __global__ void load_bytes(const unsigned char* bytes, float scale, float* y, size_t n) {
  EACH_ELEMENT(i, n) y[i] = bytes[i] * scale;
}
