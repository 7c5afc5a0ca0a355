// Dropout: the mask comes from a counter, so that every device draws the same.

#include "common.cuh"

// y[e] = x[e] · scale where word e of the noise reaches the threshold, else 0. A thread draws one block of four words, for
// elements 4b to 4b + 3; x is read once, y written once. The threshold is rate · 2³², at most 2³²; scale is 1 / (1 − rate).
extern "C" __global__ void dropout(unsigned int seed_low, unsigned int seed_high, unsigned int layer,
                                   unsigned int step, size_t threshold, float scale, const float* x, float* y,
                                   size_t n) {
  bool fours = by_fours(x) && by_fours(y);
  EACH_ELEMENT(b, (n + 3) / 4) {
    uint4 word = philox(make_uint4((unsigned int)b, (unsigned int)(b >> 32), step, layer), seed_low, seed_high);
    float keep[4] = {word.x >= threshold ? scale : 0.0f, word.y >= threshold ? scale : 0.0f,
                     word.z >= threshold ? scale : 0.0f, word.w >= threshold ? scale : 0.0f};
    size_t e = 4 * b;
    if (fours && e + 4 <= n) {
      Four v = ((const Four*)x)[b];
#pragma unroll
      for (int k = 0; k < 4; ++k) v.at[k] = keep[k] > 0.0f ? keep[k] * v.at[k] : 0.0f;
      ((Four*)y)[b] = v;
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k)
        if (e + k < n) y[e + k] = keep[k] > 0.0f ? keep[k] * x[e + k] : 0.0f;
    }
  }
}
