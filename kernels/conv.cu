// Convolution, as matrix products whose operand im2col(x) is never made.
//
//   forward   y  = f(im2col(x) K + b)    rows: positions    columns: filters    steps: taps
//   kernel    dK = im2col(x)ᵀ dz         rows: taps         columns: filters    steps: positions
//   input     dx = col2im(dz Kᵀ)         rows: positions    columns: channels   steps: kernel position, filter
//
// im2col(x) [N·od·oh·ow, kd·kh·kw·C] has, in the row of a position, what its window sees: each number of x up to
// kd·kh·kw times over. The products are tile.cuh's, with loaders that read x itself where a plain product would read
// the unrolled matrix. What does not change from step to step is worked out once; what does is two instructions for each
// division. Channels come last in memory, so neighbouring lanes read neighbouring channels.
//
// x [N, D, H, W, C], kernel [kd, kh, kw, C, F], y and dz [N, od, oh, ow, F].
//
// Source: Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for Document Processing", for
// convolution as a matrix product; Chetlur et al. 2014, "cuDNN", for unrolling while the product is made.

#include "common.cuh"
#include "tile.cuh"
#include "window.cuh"

// ---------------------------------------------------------------------------------- im2col and its transpose

// cols[position, tap] = x[where they meet], or 0 in the padding. A thread writes one element of `size`.
extern "C" __global__ void im2col(const float* __restrict__ x, float* __restrict__ cols, size_t size, Divisor by_taps,
                                  WindowArgs w) {
  int taps = w.kernel[0] * w.kernel[1] * w.kernel[2] * w.channels;
  EACH_ELEMENT(e, size) {
    int row = divide((int)e, by_taps), tap = (int)e - row * taps;
    int k = divide(tap, w.by_channels), c = tap - k * w.channels;
    Position o = position(row, w.output, w.by_output), t = position(k, w.kernel, w.by_kernel);
    int z = o.at[0] * w.stride[0] + t.at[0] * w.dilation[0] - w.before[0];
    int y = o.at[1] * w.stride[1] + t.at[1] * w.dilation[1] - w.before[1];
    int v = o.at[2] * w.stride[2] + t.at[2] * w.dilation[2] - w.before[2];
    bool there = inside(z, y, v, w.input);
    cols[e] = there ? x[(size_t)row_of(o.image, z, y, v, w.input) * w.channels + c] : 0.0f;
  }
}

// dx[i, c] = Σ of dcols[position, tap] wherever the two meet at i. A thread gathers one element of dx, tap after tap:
// nothing is added from two sides, and the order is fixed. Each number of dcols is read once.
extern "C" __global__ void col2im(const float* __restrict__ dcols, float* __restrict__ dx, size_t size, WindowArgs w) {
  int taps = w.kernel[0] * w.kernel[1] * w.kernel[2] * w.channels;
  EACH_ELEMENT(e, size) {
    int row = divide((int)e, w.by_channels), c = (int)e - row * w.channels;
    Position i = position(row, w.input, w.by_input);
    float sum = 0.0f;
    int z, y, v;
    for (int a = 0; a < w.kernel[0]; ++a) {
      if (!meets(w, 0, i.at[0] + w.before[0], a, z)) continue;
      for (int b = 0; b < w.kernel[1]; ++b) {
        if (!meets(w, 1, i.at[1] + w.before[1], b, y)) continue;
        for (int k = 0; k < w.kernel[2]; ++k) {
          if (!meets(w, 2, i.at[2] + w.before[2], k, v)) continue;
          int tap = ((a * w.kernel[1] + b) * w.kernel[2] + k) * w.channels + c;
          sum += dcols[(size_t)row_of(i.image, z, y, v, w.output) * taps + tap];
        }
      }
    }
    dx[e] = sum;
  }
}

// ---------------------------------------------------------------------------------- loaders

// Panels of im2col(x): rows are output positions, and memory runs along the taps.
//
// With BACK, panels of what col2im needs, for strides of 1: rows are input positions, `x` is dz, channels are filters,
// and tap k of position i is dz at i + before − k · dilation.
template <int EXTENT, int THREADS, int VEC, bool BACK>
struct Patches : Share<EXTENT, THREADS, true, VEC> {
  typedef Share<EXTENT, THREADS, true, VEC> Base;
  const float* x;
  const WindowArgs& w;
  int tap, c;                                                              // the thread's next, and its channel
  int from[Base::COUNT];                                                   // channel 0 where it meets x, or −1
  int z[Base::COUNT], y[Base::COUNT], v[Base::COUNT], start[Base::COUNT];  // where tap 0 is, of each read's row
  float held[Base::COUNT][VEC];

  // Rows from `first` on, of `rows`, and taps from `from` on.
  __device__ __forceinline__ Patches(const float* x, const WindowArgs& w, int first, int rows, int from)
      : x(x), w(w), tap(from + this->k) {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) {
      int row = min(first + this->row_of(i), rows - 1);
      Position p = BACK ? position(row, w.input, w.by_input) : position(row, w.output, w.by_output);
      z[i] = BACK ? p.at[0] + w.before[0] : p.at[0] * w.stride[0] - w.before[0];
      y[i] = BACK ? p.at[1] + w.before[1] : p.at[1] * w.stride[1] - w.before[1];
      v[i] = BACK ? p.at[2] + w.before[2] : p.at[2] * w.stride[2] - w.before[2];
      start[i] = ::row_of(p.image, z[i], y[i], v[i], BACK ? w.output : w.input);
    }
    locate();
  }

  __device__ __forceinline__ int channels() const { return BACK ? w.filters : w.channels; }

  // Finds the kernel position of `tap`, and where it meets x.
  __device__ __forceinline__ void locate() {
    const int(&extent)[3] = BACK ? w.output : w.input;
    int k = divide(tap, BACK ? w.by_filters : w.by_channels), sign = BACK ? -1 : 1;
    c = tap - k * channels();
    Position t = position(k, w.kernel, w.by_kernel);
    int dz = sign * t.at[0] * w.dilation[0], dy = sign * t.at[1] * w.dilation[1], dv = sign * t.at[2] * w.dilation[2];
    int further = (dz * extent[1] + dy) * extent[2] + dv;
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i)
      from[i] = inside(z[i] + dz, y[i] + dy, v[i] + dv, extent) ? (start[i] + further) * channels() : -1;
  }

  // Most steps stay with their kernel position and go on along the channels.
  __device__ __forceinline__ void advance(int steps) {
    tap += steps, c += steps;
    if (c >= channels()) locate();
  }

  __device__ __forceinline__ void load_if(bool exists) {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) {
#pragma unroll
      for (int e = 0; e < VEC; ++e) held[i][e] = 0.0f;
      if (exists && from[i] >= 0) read<VEC>(x + (from[i] + c), held[i]);
    }
  }

  __device__ __forceinline__ void load_first(int steps) {
    load_if(this->k < steps);
    advance(steps);
  }

  __device__ __forceinline__ void load() {
    load_if(true);
    advance(STEP);
  }

  __device__ __forceinline__ void load_none() { load_if(false); }

  template <int ROW>
  __device__ __forceinline__ void store_all(float* at) const {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) this->template store<ROW>(at, i, held[i]);
  }
};

// Panels of im2col(x)ᵀ: rows are taps, steps are output positions, and memory runs across. A thread keeps its tap.
template <int EXTENT, int THREADS, int VEC>
struct Positions : Share<EXTENT, THREADS, false, VEC> {
  typedef Share<EXTENT, THREADS, false, VEC> Base;
  const float* x;                            // of the tap's channel
  const WindowArgs& w;
  int z, y, v;                               // where the thread's tap is, of a window at position 0
  int next;                                  // the thread's next position
  int at[Base::COUNT], line[Base::COUNT];    // of each read: its place along the width, its line of x or −1
  float held[Base::COUNT][VEC];

  __device__ __forceinline__ Positions(const float* images, const WindowArgs& w, int first, int taps, int from)
      : w(w), next(from + this->k) {
    int tap = min(first + this->row, taps - VEC), k = divide(tap, w.by_channels);
    Position t = position(k, w.kernel, w.by_kernel);
    z = t.at[0] * w.dilation[0] - w.before[0];
    y = t.at[1] * w.dilation[1] - w.before[1];
    v = t.at[2] * w.dilation[2] - w.before[2];
    x = images + (tap - k * w.channels);
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) locate(i);
  }

  // Finds the i-th read's position, and the line of x that its tap meets.
  __device__ __forceinline__ void locate(int i) {
    Position o = position(next + i * Base::NEXT, w.output, w.by_output);
    int oz = o.at[0] * w.stride[0] + z, oy = o.at[1] * w.stride[1] + y;
    at[i] = o.at[2];
    line[i] = inside(oz, oy, 0, w.input) ? ::row_of(o.image, oz, oy, 0, w.input) : -1;
  }

  // Most steps stay in their line.
  __device__ __forceinline__ void advance(int steps) {
    next += steps;
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) {
      at[i] += steps;
      if (at[i] >= w.output[2]) locate(i);
    }
  }

  __device__ __forceinline__ void load_if(bool all, int steps) {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) {
#pragma unroll
      for (int e = 0; e < VEC; ++e) held[i][e] = 0.0f;
      int place = at[i] * w.stride[2] + v;
      if ((all || this->k_of(i) < steps) && line[i] >= 0 && (unsigned int)place < (unsigned int)w.input[2])
        read<VEC>(x + ((line[i] + place) * w.channels), held[i]);
    }
    advance(steps);
  }

  __device__ __forceinline__ void load_first(int steps) { load_if(false, steps); }
  __device__ __forceinline__ void load() { load_if(true, STEP); }
  __device__ __forceinline__ void load_none() { load_if(false, 0); }

  template <int ROW>
  __device__ __forceinline__ void store_all(float* at) const {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) this->template store<ROW>(at, i, held[i]);
  }
};

// Panels of the kernel [kd·kh·kw, C, F] with its last two axes swapped: steps are (kernel position, filter), columns are
// channels, and memory runs along the steps.
template <int EXTENT, int THREADS, int VEC>
struct Swapped : Share<EXTENT, THREADS, true, VEC> {
  typedef Share<EXTENT, THREADS, true, VEC> Base;
  const float* kernel;  // of the thread's next kernel position, at its first channel and its next filter
  const WindowArgs& w;
  int f;                // the thread's next filter
  int rows[Base::COUNT];  // from the first read to the i-th
  float held[Base::COUNT][VEC];

  // Columns from `first` on, and steps from `step` on.
  __device__ __forceinline__ Swapped(const float* from, const WindowArgs& w, int first, int step)
      : w(w), f(step + this->k) {
    int last = w.channels - 1, own = min(first + this->row_of(0), last);
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) rows[i] = (min(first + this->row_of(i), last) - own) * w.filters;
    kernel = from + (long long)own * w.filters + f;
    wrap();
  }

  // From filter F of one kernel position to filter 0 of the next, which is C − 1 rows of F further on.
  __device__ __forceinline__ void wrap() {
    for (; f >= w.filters; f -= w.filters) kernel += (long long)(w.channels - 1) * w.filters;
  }

  __device__ __forceinline__ void load_if(bool exists, int steps) {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) {
#pragma unroll
      for (int e = 0; e < VEC; ++e) held[i][e] = 0.0f;
      if (exists) read<VEC>(kernel + rows[i], held[i]);
    }
    kernel += steps, f += steps;
    wrap();
  }

  __device__ __forceinline__ void load_first(int steps) { load_if(this->k < steps, steps); }
  __device__ __forceinline__ void load() { load_if(true, STEP); }
  __device__ __forceinline__ void load_none() { load_if(false, 0); }

  template <int ROW>
  __device__ __forceinline__ void store_all(float* at) const {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) this->template store<ROW>(at, i, held[i]);
  }
};

// ---------------------------------------------------------------------------------- forward

// y = f(im2col(x) K + b). g: m positions, n filters, k taps.
template <class T, int VEC>
__device__ __forceinline__ void forward_by(const float* x, const float* kernel, const float* bias, float* y,
                                           const GemmArgs& g, const WindowArgs& w, float* shared) {
  Work<T> work(g);
  Patches<T::ROWS, T::TEAM, VEC, false> a(x, w, work.row, g.m, work.first);
  Panel<T::COLUMNS, T::TEAM, false, VEC> b(kernel + (size_t)work.first * g.n, g.n, work.column, g.n);
  float sum[T::TALL][T::WIDE];
  accumulate<T>(a, b, work, shared, sum);
  finish<T>(sum, shared, g, bias, y);
}

template <class T>
__device__ __forceinline__ void forward(const float* x, const float* kernel, const float* bias, float* y,
                                        const GemmArgs& g, const WindowArgs& w) {
  __shared__ __align__(16) float shared[T::SHARED];
  if (in_fours(x, w.channels, 0, 0) && in_fours(kernel, w.filters, 0, 0))
    forward_by<T, 4>(x, kernel, bias, y, g, w, shared);
  else
    forward_by<T, 1>(x, kernel, bias, y, g, w, shared);
}

// Tiles as in gemm.cu. The large ones only read in fours: channels and filters are multiples of 4, and the operands start
// at a multiple of 16 bytes. Read one by one, four rows' geometry would not fit into 128 registers beside 64 sums; the
// host takes the medium ones then.
typedef Tile<128, 128, 4, 8, 8, 8> Large;
typedef Tile<64, 64, 4, 8, 8, 4> Medium;
typedef Tile<32, 32, 4, 8, 4, 4, 4> Small;

extern "C" __global__ void __launch_bounds__(256, 2) conv_large(
    const float* __restrict__ x, const float* __restrict__ kernel, const float* __restrict__ bias, float* y, GemmArgs g,
    WindowArgs w) {
  __shared__ __align__(16) float shared[Large::SHARED];
  forward_by<Large, 4>(x, kernel, bias, y, g, w, shared);
}

extern "C" __global__ void __launch_bounds__(128, 4) conv_medium(
    const float* __restrict__ x, const float* __restrict__ kernel, const float* __restrict__ bias, float* y, GemmArgs g,
    WindowArgs w) {
  forward<Medium>(x, kernel, bias, y, g, w);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_small(
    const float* __restrict__ x, const float* __restrict__ kernel, const float* __restrict__ bias, float* y, GemmArgs g,
    WindowArgs w) {
  forward<Small>(x, kernel, bias, y, g, w);
}

// ---------------------------------------------------------------------------------- backward: the kernel

// dK = im2col(x)ᵀ dz. g: m taps, n filters, k positions. dK is small and the sum over positions is long, so it is cut
// into parts: blockIdx.z has its own, and its own [taps, F] of `dk`, to be added up by gemm.cu's gemm_add_parts.
template <class T, int VEC>
__device__ __forceinline__ void backward_kernel_by(const float* x, const float* dz, float* dk, const GemmArgs& g,
                                                   const WindowArgs& w, float* shared) {
  Work<T> work(g);
  Positions<T::ROWS, T::TEAM, VEC> a(x, w, work.row, g.m, work.first);
  Panel<T::COLUMNS, T::TEAM, false, VEC> b(dz + (size_t)work.first * g.n, g.n, work.column, g.n);
  float sum[T::TALL][T::WIDE];
  accumulate<T>(a, b, work, shared, sum);
  finish<T>(sum, shared, g, nullptr, dk);
}

template <class T>
__device__ __forceinline__ void backward_kernel(const float* x, const float* dz, float* dk, const GemmArgs& g,
                                                const WindowArgs& w) {
  __shared__ __align__(16) float shared[T::SHARED];
  if (in_fours(x, w.channels, 0, 0) && in_fours(dz, w.filters, 0, 0))
    backward_kernel_by<T, 4>(x, dz, dk, g, w, shared);
  else
    backward_kernel_by<T, 1>(x, dz, dk, g, w, shared);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_backward_kernel_large(
    const float* __restrict__ x, const float* __restrict__ dz, float* dk, GemmArgs g, WindowArgs w) {
  __shared__ __align__(16) float shared[Large::SHARED];
  backward_kernel_by<Large, 4>(x, dz, dk, g, w, shared);
}

extern "C" __global__ void __launch_bounds__(128, 4) conv_backward_kernel_medium(
    const float* __restrict__ x, const float* __restrict__ dz, float* dk, GemmArgs g, WindowArgs w) {
  backward_kernel<Medium>(x, dz, dk, g, w);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_backward_kernel_small(
    const float* __restrict__ x, const float* __restrict__ dz, float* dk, GemmArgs g, WindowArgs w) {
  backward_kernel<Small>(x, dz, dk, g, w);
}

// ---------------------------------------------------------------------------------- backward: the input

// dx[i] = Σ over kernel positions k and filters f of dz[i + before − k · dilation, f] K[k, c, f], for strides of 1: the
// transpose of a convolution is a convolution. Each dx is written once. g: m input positions, n channels,
// k = kd·kh·kw·F. With larger strides most positions would meet nothing; then dz Kᵀ and col2im are faster.
template <class T, int VEC>
__device__ __forceinline__ void backward_input_by(const float* dz, const float* kernel, float* dx, const GemmArgs& g,
                                                  const WindowArgs& w, float* shared) {
  Work<T> work(g);
  Patches<T::ROWS, T::TEAM, VEC, true> a(dz, w, work.row, g.m, work.first);
  Swapped<T::COLUMNS, T::TEAM, VEC> b(kernel, w, work.column, work.first);
  float sum[T::TALL][T::WIDE];
  accumulate<T>(a, b, work, shared, sum);
  finish<T>(sum, shared, g, nullptr, dx);
}

template <class T>
__device__ __forceinline__ void backward_input(const float* dz, const float* kernel, float* dx, const GemmArgs& g,
                                               const WindowArgs& w) {
  __shared__ __align__(16) float shared[T::SHARED];
  if (in_fours(dz, w.filters, 0, 0) && in_fours(kernel, w.filters, 0, 0))
    backward_input_by<T, 4>(dz, kernel, dx, g, w, shared);
  else
    backward_input_by<T, 1>(dz, kernel, dx, g, w, shared);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_backward_input_large(
    const float* __restrict__ dz, const float* __restrict__ kernel, float* dx, GemmArgs g, WindowArgs w) {
  __shared__ __align__(16) float shared[Large::SHARED];
  backward_input_by<Large, 4>(dz, kernel, dx, g, w, shared);
}

extern "C" __global__ void __launch_bounds__(128, 4) conv_backward_input_medium(
    const float* __restrict__ dz, const float* __restrict__ kernel, float* dx, GemmArgs g, WindowArgs w) {
  backward_input<Medium>(dz, kernel, dx, g, w);
}

extern "C" __global__ void __launch_bounds__(256, 2) conv_backward_input_small(
    const float* __restrict__ dz, const float* __restrict__ kernel, float* dx, GemmArgs g, WindowArgs w) {
  backward_input<Small>(dz, kernel, dx, g, w);
}
