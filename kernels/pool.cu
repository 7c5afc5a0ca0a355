// Pooling: the largest or the mean number of each window, channel by channel.
//
//   max      y[o, c] = max over taps of x[i(o, tap), c]       dx gets dy where the first tap equals y
//   average  y[o, c] = Σ over taps of x[i(o, tap), c] / taps   dx gets dy / taps everywhere
//
// Padding is not there: it never wins and is not counted. A thread has one element; neighbouring threads have
// neighbouring channels. Backward gathers: the thread of an input element looks at all windows that contain it, in
// row-major order, so windows may overlap and nothing is added from two sides. Windows that do not overlap, the usual
// ones, are less work: a thread has a window and writes all that lies around it.

#include "common.cuh"
#include "window.cuh"

// Kernel positions of a window that lie inside the input, along one axis: from `first` to before `end`.
struct Span {
  int corner, first, end;  // corner: input position of kernel position 0
};

// Of output position o. Walking the dilation is rare and short; without one, two differences do.
__device__ __forceinline__ Span span(const WindowArgs& w, int axis, int o) {
  Span s = {o * w.stride[axis] - w.before[axis], 0, w.kernel[axis]};
  while (s.first < s.end && s.corner + s.first * w.dilation[axis] < 0) ++s.first;
  while (s.first < s.end && s.corner + (s.end - 1) * w.dilation[axis] >= w.input[axis]) --s.end;
  return s;
}

// Calls visit(row of x) for the taps of the window at (image, z, y, v), in row-major order, until it returns false.
// Returns how many taps the window has inside the input.
template <class Visit>
__device__ __forceinline__ int each_tap(const WindowArgs& w, int image, int z, int y, int v, const Visit& visit) {
  Span deep = span(w, 0, z), high = span(w, 1, y), wide = span(w, 2, v);
  int taps = (deep.end - deep.first) * (high.end - high.first) * (wide.end - wide.first);
  for (int a = deep.first; a < deep.end; ++a) {
    for (int b = high.first; b < high.end; ++b) {
      int line = row_of(image, deep.corner + a * w.dilation[0], high.corner + b * w.dilation[1], wide.corner, w.input);
      for (int k = wide.first; k < wide.end; ++k) {
        if (!visit(line + k * w.dilation[2])) return taps;
      }
    }
  }
  return taps;
}

// Calls visit(image, z, y, v) for every window that sees input position i, in row-major order.
template <class Visit>
__device__ __forceinline__ void each_window(const WindowArgs& w, const Position& i, const Visit& visit) {
  int z, y, v;  // later kernel positions belong to earlier windows
  for (int a = w.kernel[0] - 1; a >= 0; --a) {
    if (!meets(w, 0, i.at[0] + w.before[0], a, z)) continue;
    for (int b = w.kernel[1] - 1; b >= 0; --b) {
      if (!meets(w, 1, i.at[1] + w.before[1], b, y)) continue;
      for (int k = w.kernel[2] - 1; k >= 0; --k) {
        if (meets(w, 2, i.at[2] + w.before[2], k, v)) visit(i.image, z, y, v);
      }
    }
  }
}

// y[o, c] = the largest x in the window of o. x is read once for each window that sees it.
extern "C" __global__ void max_pool(const float* __restrict__ x, float* __restrict__ y, size_t size, WindowArgs w) {
  EACH_ELEMENT(e, size) {
    int row = divide((int)e, w.by_channels), c = (int)e - row * w.channels;
    Position o = position(row, w.output, w.by_output);
    float best = -INFINITY_F;
    each_tap(w, o.image, o.at[0], o.at[1], o.at[2], [&](int at) {
      float value = x[(size_t)at * w.channels + c];
      best = value > best ? value : best;
      return true;
    });
    y[e] = best;
  }
}

// dx[i, c] = Σ of dy[o, c] over the windows o in which i is the first element that equals y[o, c].
extern "C" __global__ void max_pool_backward(const float* __restrict__ x, const float* __restrict__ y,
                                             const float* __restrict__ dy, float* __restrict__ dx, size_t size,
                                             WindowArgs w) {
  EACH_ELEMENT(e, size) {
    int row = divide((int)e, w.by_channels), c = (int)e - row * w.channels;
    Position i = position(row, w.input, w.by_input);
    float own = x[e], sum = 0.0f;
    each_window(w, i, [&](int image, int z, int h, int v) {
      size_t o = (size_t)row_of(image, z, h, v, w.output) * w.channels + c;
      float largest = y[o];
      if (own != largest) return;
      int winner = row;
      each_tap(w, image, z, h, v, [&](int at) {
        if (x[(size_t)at * w.channels + c] != largest) return true;
        winner = at;
        return false;
      });
      if (winner == row) sum += dy[o];
    });
    dx[e] = sum;
  }
}

// The same where no two windows overlap. The input is cut into cells, one around each window: from the window's corner to
// before the next one's, the first and the last to the input's edges. A thread writes a cell's dx: dy at the first element of
// the window that equals y, else 0. y has `size` numbers; x and y are read once, dx is written once.
extern "C" __global__ void max_pool_backward_apart(const float* __restrict__ x, const float* __restrict__ y,
                                                   const float* __restrict__ dy, float* __restrict__ dx, size_t size,
                                                   WindowArgs w) {
  EACH_ELEMENT(e, size) {
    int row = divide((int)e, w.by_channels), c = (int)e - row * w.channels;
    Position o = position(row, w.output, w.by_output);
    int corner[3], first[3], end[3];
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
      corner[axis] = o.at[axis] * w.stride[axis] - w.before[axis];
      first[axis] = o.at[axis] == 0 ? 0 : corner[axis];
      end[axis] = o.at[axis] == w.output[axis] - 1 ? w.input[axis] : min(w.input[axis], corner[axis] + w.stride[axis]);
    }
    float largest = y[e], left = dy[e];  // what the first winner takes away
    for (int z = first[0]; z < end[0]; ++z) {
      for (int h = first[1]; h < end[1]; ++h) {
        size_t line = (size_t)row_of(o.image, z, h, 0, w.input) * w.channels + c;
        for (int v = first[2]; v < end[2]; ++v) {
          size_t at = line + (size_t)v * w.channels;
          // Before the corner, a difference is a large number without a sign.
          bool seen = (unsigned int)(z - corner[0]) < (unsigned int)w.kernel[0] &&
                      (unsigned int)(h - corner[1]) < (unsigned int)w.kernel[1] &&
                      (unsigned int)(v - corner[2]) < (unsigned int)w.kernel[2];
          bool wins = seen && x[at] == largest;
          dx[at] = wins ? left : 0.0f;
          if (wins) left = 0.0f;
        }
      }
    }
  }
}

// y[o, c] = the mean of x over the window of o.
extern "C" __global__ void average_pool(const float* __restrict__ x, float* __restrict__ y, size_t size, WindowArgs w) {
  EACH_ELEMENT(e, size) {
    int row = divide((int)e, w.by_channels), c = (int)e - row * w.channels;
    Position o = position(row, w.output, w.by_output);
    float sum = 0.0f;
    int taps = each_tap(w, o.image, o.at[0], o.at[1], o.at[2], [&](int at) {
      sum += x[(size_t)at * w.channels + c];
      return true;
    });
    y[e] = sum / (float)taps;
  }
}

// dx[i, c] = Σ of dy[o, c] / taps of o, over the windows o that see i.
extern "C" __global__ void average_pool_backward(const float* __restrict__ dy, float* __restrict__ dx, size_t size,
                                                 WindowArgs w) {
  EACH_ELEMENT(e, size) {
    int row = divide((int)e, w.by_channels), c = (int)e - row * w.channels;
    Position i = position(row, w.input, w.by_input);
    float sum = 0.0f;
    each_window(w, i, [&](int image, int z, int h, int v) {
      Span deep = span(w, 0, z), high = span(w, 1, h), wide = span(w, 2, v);
      int taps = (deep.end - deep.first) * (high.end - high.first) * (wide.end - wide.first);
      sum += dy[(size_t)row_of(image, z, h, v, w.output) * w.channels + c] / (float)taps;
    });
    dx[e] = sum;
  }
}
