// Rungs 7 to 9 of the matrix product C = f(α op(A) op(B) + β C + bias), for GPUs from Ampere on: asynchronous copies and
// tensor cores. Everything else is as in gemm.cu; the tile, the panels and the tail are tile.cuh's.
//
// needs: sm_80

#include "common.cuh"
#include "tile.cuh"

// ---------------------------------------------------------------------------------- asynchronous copies

// VEC floats from global memory to address `to` of shared memory, without a register in between; done when wait() says so.
template <int VEC>
__device__ __forceinline__ void copy_async(unsigned int to, const float* from) {
  if (VEC == 4)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(from) : "memory");
}

// Closes the group of copies that this thread has begun since the last call.
__device__ __forceinline__ void close_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most PENDING groups of this thread are still on their way.
template <int PENDING>
__device__ __forceinline__ void wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// tile.cuh's Panel with copies in place of loads. An operand whose memory runs along k is transposed float by float: a
// copy of 4 bytes goes anywhere, while one of 16 needs 16 neighbouring bytes on both sides.
template <int EXTENT, int THREADS, bool ALONG_K, int VEC, int ROW>
struct AsyncPanel : Panel<EXTENT, THREADS, ALONG_K, ALONG_K ? 1 : VEC> {
  static constexpr int EACH = ALONG_K ? 1 : VEC;
  typedef Panel<EXTENT, THREADS, ALONG_K, EACH> Base;
  float* first;     // the thread's first element of the first buffer
  unsigned int to;  // its address

  __device__ __forceinline__ AsyncPanel(const float* from, int ld, int first_row, int extent, float* panel)
      : Base(from, ld, first_row, extent), first(panel + this->k * ROW + this->row) {
    to = (unsigned int)__cvta_generic_to_shared(first);
  }

  // Floats from where the first read goes to where the i-th does.
  static __device__ __forceinline__ int place(int i) { return i * Base::NEXT * (ALONG_K ? 1 : ROW); }

  // The first `steps` steps into the first buffer; zeros behind them.
  __device__ __forceinline__ void copy_first(int steps) {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) {
      if (this->k_of(i) < steps) {
        copy_async<EACH>(to + 4 * place(i), this->at(i));
      } else {
#pragma unroll
        for (int e = 0; e < EACH; ++e) first[place(i) + e] = 0.0f;
      }
    }
    this->advance(steps);
  }

  // The next STEP steps into the buffer that is `buffer` bytes behind the first.
  __device__ __forceinline__ void copy(int buffer) {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) copy_async<EACH>(to + buffer + 4 * place(i), this->at(i));
    this->advance(STEP);
  }
};

// The buffers form a ring. While one is computed from, the copies into the others are under way: they have
// BUFFERS − 2 steps of arithmetic to arrive in. One barrier a step, at which two things hold: everyone's copies for
// this step have arrived, and everyone has left the buffer of the step before, which the next copies may overwrite.
#define BUFFERS 4

template <class T, class A, class B, class Math>
__device__ __forceinline__ void accumulate_async(A& a, B& b, int steps, const float* shared, Math& math) {
  const int BYTES = 4 * T::BUFFER;
  int whole = (steps - 1) / STEP;  // panels that are still to be copied
  int left = whole;                // panels behind the one that is computed
  a.copy_first(steps - whole * STEP);
  b.copy_first(steps - whole * STEP);
  close_group();
#pragma unroll
  for (int i = 1; i < BUFFERS - 1; ++i) {
    if (whole > 0) {
      a.copy(i * BYTES);
      b.copy(i * BYTES);
      --whole;
    }
    close_group();  // an empty group counts too: wait() need not know how many panels are left
  }
  int from = 0, to = (BUFFERS - 1) * BYTES;
  for (; left >= 0; --left) {
    wait<BUFFERS - 2>();
    __syncthreads();
    if (whole > 0) {
      a.copy(to);
      b.copy(to);
      --whole;
    }
    close_group();
    math.multiply(shared + from / 4);
    from = from == (BUFFERS - 1) * BYTES ? 0 : from + BYTES;
    to = to == (BUFFERS - 1) * BYTES ? 0 : to + BYTES;
  }
}

// ---------------------------------------------------------------------------------- the arithmetic

// f32 multiply-adds, as on rung 6.
template <class T>
struct Exact {
  float sum[T::TALL][T::WIDE];
  int read_a, read_b;

  __device__ __forceinline__ Exact() {
    Place<T> place;
    read_a = place.row, read_b = STEP * T::A_ROW + place.column;
#pragma unroll
    for (int i = 0; i < T::TALL; ++i) {
#pragma unroll
      for (int j = 0; j < T::WIDE; ++j) sum[i][j] = 0.0f;
    }
  }

  __device__ __forceinline__ void multiply(const float* panels) {
    multiply_panels<T, false>(panels + read_a, panels + read_b, sum);
  }

  __device__ __forceinline__ void finish_tile(float* shared, const GemmArgs& g, const float* bias, float* c) {
    finish<T>(sum, shared, g, bias, c);
  }
};

// x rounded to tf32: f32's exponent, 10 bits of mantissa.
__device__ __forceinline__ unsigned int tf32(float x) {
  unsigned int y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}

// c += a b on a tensor core: a 16 × 8, b 8 × 8, c 16 × 8, spread over the warp (PTX ISA, "Matrix fragments for
// mma.m16n8k8"). With group = lane / 4 and own = lane % 4 a lane holds
//   a: (group, own), (group + 8, own), (group, own + 4), (group + 8, own + 4)
//   b: (own, group), (own + 4, group)
//   c: (group, 2·own), (group, 2·own + 1), (group + 8, 2·own), (group + 8, 2·own + 1)
__device__ __forceinline__ void mma(float (&c)[4], const unsigned int (&a)[4], const unsigned int (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Tensor cores. A warp's 32 × 64 are 2 × 8 tiles of 16 × 8, STEP deep.
//
// With SPLIT, each operand is a sum of two tf32 numbers, x = high + low, where low is what rounding left over, rounded
// in its turn: 21 bits of mantissa together. Then a b = a_low b_high + a_high b_low + a_high b_high, in that order, and
// what is missing, a_low b_low, is below f32's own rounding. Three times the work for f32's accuracy.
template <class T, bool SPLIT>
struct Tensor {
  static constexpr int DOWN = T::WARP_ROWS / 16, ACROSS = T::WARP_COLUMNS / 8;
  float sum[DOWN][ACROSS][4];
  int row, column, group, own;

  __device__ __forceinline__ Tensor() {
    Place<T> place;
    row = place.warp_row * T::WARP_ROWS, column = place.warp_column * T::WARP_COLUMNS;
    group = threadIdx.x % WARP / 4, own = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < DOWN; ++i) {
#pragma unroll
      for (int j = 0; j < ACROSS; ++j) sum[i][j][0] = sum[i][j][1] = sum[i][j][2] = sum[i][j][3] = 0.0f;
    }
  }

  // PAD = 8 puts the lanes' (own, group) on 32 different banks.
  __device__ __forceinline__ void multiply(const float* panels) {
    const float* a = panels + own * T::A_ROW + row + group;
    const float* b = panels + STEP * T::A_ROW + own * T::B_ROW + column + group;
    unsigned int high[DOWN][4], low[DOWN][4];
#pragma unroll
    for (int i = 0; i < DOWN; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float x = a[e / 2 * 4 * T::A_ROW + i * 16 + e % 2 * 8];
        high[i][e] = tf32(x);
        if (SPLIT) low[i][e] = tf32(x - __uint_as_float(high[i][e]));
      }
    }
#pragma unroll
    for (int j = 0; j < ACROSS; ++j) {
      unsigned int right[2], rest[2];
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float x = b[e * 4 * T::B_ROW + j * 8];
        right[e] = tf32(x);
        if (SPLIT) rest[e] = tf32(x - __uint_as_float(right[e]));
      }
#pragma unroll
      for (int i = 0; i < DOWN; ++i) {
        if (SPLIT) {
          mma(sum[i][j], low[i], right);
          mma(sum[i][j], high[i], rest);
        }
        mma(sum[i][j], high[i], right);
      }
    }
  }

  __device__ __forceinline__ void finish_tile(float* shared, const GemmArgs& g, const float* bias, float* c) {
    write_tile<T>(shared, g, bias, c, [&](float* slab) {
      float* at = slab + group * T::B_ROW + column + 2 * own;
#pragma unroll
      for (int i = 0; i < DOWN; ++i) {
#pragma unroll
        for (int j = 0; j < ACROSS; ++j) {
#pragma unroll
          for (int e = 0; e < 4; ++e) at[(i * 16 + e / 2 * 8) * T::B_ROW + j * 8 + e % 2] = sum[i][j][e];
        }
      }
    });
  }
};

// ---------------------------------------------------------------------------------- a whole product

template <class T, class Math, bool TRANSPOSE_A, bool TRANSPOSE_B, int VEC>
__device__ __forceinline__ void async_product_by(const float* a, const float* b, const float* bias, float* c,
                                                 const GemmArgs& g, float* shared) {
  Work<T> work(g);
  a += work.product * g.batch_a + (TRANSPOSE_A ? (size_t)work.first * g.lda : work.first);
  b += work.product * g.batch_b + (TRANSPOSE_B ? work.first : (size_t)work.first * g.ldb);
  AsyncPanel<T::ROWS, T::THREADS, !TRANSPOSE_A, VEC, T::A_ROW> panel_a(a, g.lda, work.row, g.m, shared);
  AsyncPanel<T::COLUMNS, T::THREADS, TRANSPOSE_B, VEC, T::B_ROW> panel_b(b, g.ldb, work.column, g.n,
                                                                            shared + STEP * T::A_ROW);
  Math math;
  accumulate_async<T>(panel_a, panel_b, work.steps, shared, math);
  math.finish_tile(shared, g, bias, c);
}

template <class T, class Math, bool TRANSPOSE_A, bool TRANSPOSE_B>
__device__ __forceinline__ void async_product(const float* a, const float* b, const float* bias, float* c,
                                              const GemmArgs& g) {
  __shared__ __align__(16) float shared[BUFFERS * T::BUFFER];
  // Only an operand whose memory runs across is copied in fours.
  bool fours = (!TRANSPOSE_A || in_fours(a, g.m, g.lda, g.batch_a)) && (TRANSPOSE_B || in_fours(b, g.n, g.ldb, g.batch_b));
  if (fours)
    async_product_by<T, Math, TRANSPOSE_A, TRANSPOSE_B, 4>(a, b, bias, c, g, shared);
  else
    async_product_by<T, Math, TRANSPOSE_A, TRANSPOSE_B, 1>(a, b, bias, c, g, shared);
}

// Rung 7: rung 6 with asynchronous copies. Exact f32. What is loaded no longer waits in registers, so the loads may run
// three steps ahead, and the arithmetic is free of them.
typedef Tile<128, 128, 4, 8, 8, 8> Copied;

extern "C" __global__ void __launch_bounds__(256, 2) gemm_async_nn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Copied, Exact<Copied>, false, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_async_tn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Copied, Exact<Copied>, true, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_async_nt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Copied, Exact<Copied>, false, true>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_async_tt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Copied, Exact<Copied>, true, true>(a, b, bias, c, g);
}

// Rung 8: tensor cores. Operands are rounded to tf32's 11 significant bits: a product is off by up to 2⁻¹⁰ of itself,
// so nothing chooses this rung unasked. Sums are f32.
typedef Tile<128, 128, 4, 8, 8, 8, 1, 1, 8> Cores;

extern "C" __global__ void __launch_bounds__(256, 2) gemm_tensor_nn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Cores, Tensor<Cores, false>, false, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_tensor_tn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Cores, Tensor<Cores, false>, true, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_tensor_nt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Cores, Tensor<Cores, false>, false, true>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_tensor_tt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Cores, Tensor<Cores, false>, true, true>(a, b, bias, c, g);
}

// Rung 9: tensor cores with split operands, at f32's accuracy for numbers whose low part is not below f32's range.
extern "C" __global__ void __launch_bounds__(256, 2) gemm_tensor3_nn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Cores, Tensor<Cores, true>, false, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_tensor3_tn(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Cores, Tensor<Cores, true>, true, false>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_tensor3_nt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Cores, Tensor<Cores, true>, false, true>(a, b, bias, c, g);
}

extern "C" __global__ void __launch_bounds__(256, 2) gemm_tensor3_tt(
    const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ bias, float* c, GemmArgs g) {
  async_product<Cores, Tensor<Cores, true>, true, true>(a, b, bias, c, g);
}
