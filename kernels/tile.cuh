// A block's tile of a matrix product: what the fast rungs of gemm.cu and gemm_tensor.cu, and the convolutions of
// conv.cu, have in common. They differ in where the operands come from and in who does the arithmetic.
//
//            k →                n →                       A block computes a tile [ROWS, COLUMNS] of C. It walks
//   A  m ↓ [####....]    B  k ↓ [####....]                along k in steps of STEP; each step needs the panels #,
//          [####....]           [####....]                which all its threads read from shared memory.
//
//   shared memory, per buffer:   A's panel [STEP][ROWS + PAD]  then  B's panel [STEP][COLUMNS + PAD]
//
// Both panels have k as their slow axis, so that a thread's rows and columns lie side by side and are read four at a
// time. An operand whose memory runs along k is transposed while it is stored; PAD keeps those stores on different
// banks (4 rows of k are 4·132 floats apart, 16 banks; 16 rows of C fill the rest).

#pragma once

// A product C = α op(A) op(B) + β C and its tail. The same struct is in src/cuda/abi.rs.
struct GemmArgs {
  size_t batch_a, batch_b;  // floats from one product of a batch to the next
  size_t batch_c;           // floats from what one blockIdx.z writes to what the next one writes
  int m, n, k;
  int lda, ldb, ldc;        // floats from a row to the next, as stored
  int split, part;          // k is cut into `split` parts of `part` steps: blockIdx.z = product · split + part
  float alpha, beta;
  Activation f;
};

#define STEP 8

// ---------------------------------------------------------------------------------- who computes what

// A tile of ROWS_ × COLUMNS_, a warp's share of it, and a lane's share of that. A lane's rows come in groups of four,
// and the groups of all lanes are interleaved: lane (r, c) has rows 4r .. 4r+3, then the same LANE_ROWS·4 further on.
// So when the warp reads its fragments of one k, the eight lanes that shared memory serves at once either read the
// same four floats (a broadcast) or eight neighbouring fours (all 32 banks once): never a conflict.
//
// With SPREAD = 0 a lane's rows are all neighbours. Then eight lanes read fours that are 32 bytes apart: two rounds.
//
// A small tile takes few threads, which mostly wait for memory. So TEAMS of them share one tile: each sums some of the
// steps in panels of its own, and what they have is added up, first team first, when the tile is written.
template <int ROWS_, int COLUMNS_, int LANE_ROWS_, int LANE_COLUMNS_, int TALL_, int WIDE_, int TEAMS_ = 1,
          int SPREAD_ = 1, int PAD_ = 4>
struct Tile {
  static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, PAD = PAD_;
  static constexpr int LANE_ROWS = LANE_ROWS_, LANE_COLUMNS = LANE_COLUMNS_;  // a warp as a grid of lanes
  static constexpr int TALL = TALL_, WIDE = WIDE_;                            // a lane's share
  static constexpr int WARP_ROWS = LANE_ROWS * TALL, WARP_COLUMNS = LANE_COLUMNS * WIDE;
  static constexpr int TEAM = WARP * (ROWS / WARP_ROWS) * (COLUMNS / WARP_COLUMNS);  // threads of a team
  static constexpr int TEAMS = TEAMS_, THREADS = TEAMS * TEAM;                       // and of the block
  static constexpr int A_ROW = ROWS + PAD, B_ROW = COLUMNS + PAD;  // floats of a row of the panels
  static constexpr int BUFFER = STEP * (A_ROW + B_ROW);            // floats of both panels
  static constexpr int SHARED = TEAMS * 2 * BUFFER;                // and of all
  static constexpr int SLAB = WARP_ROWS * B_ROW;                   // floats of what a row of warps computes
  // From a lane's group of four to its next, and from a lane's first row to the next lane's.
  static constexpr int NEXT_ROWS = SPREAD_ ? 4 * LANE_ROWS : 4, LANE_ROW = SPREAD_ ? 4 : TALL;
  static constexpr int NEXT_COLUMNS = SPREAD_ ? 4 * LANE_COLUMNS : 4, LANE_COLUMN = SPREAD_ ? 4 : WIDE;

  // This thread's team, and its number there.
  static __device__ __forceinline__ int team() { return TEAMS == 1 ? 0 : threadIdx.x / TEAM; }
  static __device__ __forceinline__ int thread() { return TEAMS == 1 ? threadIdx.x : threadIdx.x % TEAM; }
};

// Where this thread stands in its block's tile.
template <class T>
struct Place {
  int warp_row, warp_column;  // of the grid of warps
  int row, column;            // the thread's first, in the tile

  __device__ __forceinline__ Place() {
    int warp = T::thread() / WARP, lane = threadIdx.x % WARP;
    warp_row = warp / (T::COLUMNS / T::WARP_COLUMNS);
    warp_column = warp % (T::COLUMNS / T::WARP_COLUMNS);
    row = warp_row * T::WARP_ROWS + lane / T::LANE_COLUMNS * T::LANE_ROW;
    column = warp_column * T::WARP_COLUMNS + lane % T::LANE_COLUMNS * T::LANE_COLUMN;
  }
};

// Which tile of C the block computes. Blocks that run at the same time should share panels, which then come from the
// L2 cache: they are numbered down the rows of eight tiles, then across, not along whole rows of C.
__device__ __forceinline__ int2 tile_of_block(unsigned int block, int tiles_down, int tiles_across) {
  const int BAND = 8;
  unsigned int band = BAND * (unsigned int)tiles_across;  // tiles of a full band
  int first = block / band * BAND;
  unsigned int inside = block % band, down = min(BAND, tiles_down - first);
  return make_int2(first + inside % down, inside / down);
}

// What one team computes: which tile, of which product of the batch, over which steps. A team may be left without any;
// all of a block go on for the same number of panels, since they meet at barriers. It is worked out twice, before
// the loop along k and behind it: six registers that the loop can use. The empty assembly keeps the compiler from seeing
// that both are the same.
template <class T>
struct Work {
  int row, column, first, steps, panels;
  unsigned int product, z;

  __device__ __forceinline__ Work(const GemmArgs& g) {
    unsigned int block = blockIdx.x;
    z = blockIdx.z;
    asm volatile("" : "+r"(block), "+r"(z));
    int2 tile = tile_of_block(block, (g.m + T::ROWS - 1) / T::ROWS, (g.n + T::COLUMNS - 1) / T::COLUMNS);
    row = tile.x * T::ROWS, column = tile.y * T::COLUMNS;
    product = z / g.split;
    first = z % g.split * g.part;
    steps = min(g.part, g.k - first);
    panels = (steps + T::TEAMS * STEP - 1) / (T::TEAMS * STEP);
    if (T::TEAMS == 1) return;
    int before = T::team() * panels * STEP;
    first += before;
    steps = max(0, min(steps - before, panels * STEP));
  }
};

// ---------------------------------------------------------------------------------- loading

// VEC floats from global memory: 1, or 4 from an address that is a multiple of 16.
template <int VEC>
__device__ __forceinline__ void read(const float* from, float* to) {
  if (VEC == 4) {
    float4 v = __ldg((const float4*)from);
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
  } else {
    to[0] = __ldg(from);
  }
}

// How THREADS threads, a team, share out a panel of STEP steps by EXTENT rows (of op(A); columns of op(B)), VEC
// floats at a time. A warp's neighbouring lanes take what is neighbouring in memory, which runs along k or across.
template <int EXTENT, int THREADS, bool ALONG_K, int VEC>
struct Share {
  static constexpr int COUNT = EXTENT * STEP / (THREADS * VEC);      // reads a thread
  static constexpr int LINE = (ALONG_K ? STEP : EXTENT) / VEC;       // reads of one line of memory
  static constexpr int NEXT = THREADS / LINE;                        // lines from a thread's read to its next
  static_assert(COUNT >= 1 && THREADS % LINE == 0, "threads and panel do not fit");
  int k, row;  // of the thread's first float

  __device__ __forceinline__ Share() {
    // Its number in the team: no block has more than 256 threads.
    int thread = THREADS == 256 ? threadIdx.x : threadIdx.x % THREADS;
    int along = thread % LINE * VEC, line = thread / LINE;
    k = ALONG_K ? along : line;
    row = ALONG_K ? line : along;
  }

  // The step and row of the i-th read's first float.
  __device__ __forceinline__ int k_of(int i) const { return ALONG_K ? k : k + i * NEXT; }
  __device__ __forceinline__ int row_of(int i) const { return ALONG_K ? row + i * NEXT : row; }

  // Stores the i-th read into a panel whose rows have ROW floats. `at` points to the thread's first element.
  template <int ROW>
  __device__ __forceinline__ void store(float* at, int i, const float* v) const {
    if (ALONG_K) {
#pragma unroll
      for (int e = 0; e < VEC; ++e) at[e * ROW + i * NEXT] = v[e];
    } else if (VEC == 4) {
      *(float4*)(at + i * NEXT * ROW) = make_float4(v[0], v[1], v[2], v[3]);
    } else {
      at[i * NEXT * ROW] = v[0];
    }
  }
};

// Panel after panel of a matrix in memory, on the way through registers.
//
// Rows behind the matrix are read as its last row: what comes of them is never written. So only the first panel asks
// whether a step exists: it is the short one, of 1 .. STEP steps, and all others are whole.
template <int EXTENT, int THREADS, bool ALONG_K, int VEC>
struct Panel : Share<EXTENT, THREADS, ALONG_K, VEC> {
  typedef Share<EXTENT, THREADS, ALONG_K, VEC> Base;
  const float* next;        // of the thread's first read
  int line;                 // bytes from a stored row to the next
  int lines[Base::COUNT];   // from the first read to the i-th
  float held[Base::COUNT][VEC];

  // Rows from `first` on, of `extent`; `from` points to the first step.
  __device__ __forceinline__ Panel(const float* from, int ld, int first, int extent) : line(4 * ld) {
    int last = extent - (ALONG_K ? 1 : VEC), row = min(first + this->row, last);
    next = from + (ALONG_K ? (size_t)row * ld + this->k : (size_t)this->k * ld + row);
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) lines[i] = ALONG_K ? min(first + this->row_of(i), last) - row : i * Base::NEXT;
  }

  // `count` stored rows further on. One instruction, which keeps no 64-bit product in registers.
  __device__ __forceinline__ const float* further(int count) const {
    const float* p;
    asm("mad.wide.s32 %0, %1, %2, %3;" : "=l"(p) : "r"(count), "r"(line), "l"(next));
    return p;
  }

  // Where the i-th read is.
  __device__ __forceinline__ const float* at(int i) const { return i == 0 ? next : further(lines[i]); }

  __device__ __forceinline__ void advance(int steps) { next = ALONG_K ? next + steps : further(steps); }

  // The first `steps` steps; zeros behind them.
  __device__ __forceinline__ void load_first(int steps) {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) {
#pragma unroll
      for (int e = 0; e < VEC; ++e) held[i][e] = 0.0f;
      if (this->k_of(i) < steps) read<VEC>(at(i), held[i]);
    }
    advance(steps);
  }

  // The next STEP steps.
  __device__ __forceinline__ void load() {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) read<VEC>(at(i), held[i]);
    advance(STEP);
  }

  // No step.
  __device__ __forceinline__ void load_none() { load_first(0); }

  template <int ROW>
  __device__ __forceinline__ void store_all(float* at) const {
#pragma unroll
    for (int i = 0; i < Base::COUNT; ++i) this->template store<ROW>(at, i, held[i]);
  }
};

// ---------------------------------------------------------------------------------- computing

// COUNT floats in groups of four, NEXT floats apart.
template <int COUNT, int NEXT>
__device__ __forceinline__ void read_fours(const float* from, float (&to)[COUNT]) {
#pragma unroll
  for (int g = 0; g < COUNT / 4; ++g) {
    float4 v = *(const float4*)(from + g * NEXT);
    to[4 * g] = v.x, to[4 * g + 1] = v.y, to[4 * g + 2] = v.z, to[4 * g + 3] = v.w;
  }
}

// sum[i][j] += Σ over STEP steps of A[row i][k] · B[k][column j]. `a` and `b` point to the thread's first row and column.
// Per step of 8 × 8: four 16-byte reads for 64 multiply-adds. Unrolled, every address is a register and a constant.
//
// DOWN says which operand comes first, and whether the 64 go down the columns or along the rows. It is all the same to
// the result; but assemblers find room for everything in 128 registers in one order, and not in the other.
template <class T, bool DOWN>
__device__ __forceinline__ void multiply_panels(const float* a, const float* b, float (&sum)[T::TALL][T::WIDE]) {
#pragma unroll
  for (int k = 0; k < STEP; ++k) {
    float left[T::TALL], right[T::WIDE];
    if (DOWN) read_fours<T::TALL, T::NEXT_ROWS>(a + k * T::A_ROW, left);
    read_fours<T::WIDE, T::NEXT_COLUMNS>(b + k * T::B_ROW, right);
    if (!DOWN) read_fours<T::TALL, T::NEXT_ROWS>(a + k * T::A_ROW, left);
#pragma unroll
    for (int e = 0; e < T::TALL * T::WIDE; ++e) {
      int i = DOWN ? e % T::TALL : e / T::WIDE, j = DOWN ? e / T::TALL : e % T::WIDE;
      sum[i][j] = fmaf(left[i], right[j], sum[i][j]);
    }
  }
}

// The team's sums. Double-buffered: while the threads compute from one buffer, the next panels travel from global memory
// to registers, and are put into the other buffer when the arithmetic is done. One barrier a step: behind it the new
// panels are complete, and nobody reads the old ones any more.
template <class T, class A, class B>
__device__ __forceinline__ void accumulate(A& a, B& b, const Work<T>& work, float* shared, float (&sum)[T::TALL][T::WIDE]) {
  Place<T> place;
#pragma unroll
  for (int i = 0; i < T::TALL; ++i) {
#pragma unroll
    for (int j = 0; j < T::WIDE; ++j) sum[i][j] = 0.0f;
  }
  // Where the thread reads and writes. Numbers, not pointers: those are 64 bits wide, and registers are short.
  int panels = T::team() * 2 * T::BUFFER;
  int read_a = panels + place.row, read_b = panels + STEP * T::A_ROW + place.column;
  int write_a = panels + a.k * T::A_ROW + a.row, write_b = panels + STEP * T::A_ROW + b.k * T::B_ROW + b.row;

  int left = work.panels - 1;  // whole panels behind the first, of the team that has most
  int own = T::TEAMS == 1 ? left : max(work.steps - 1, 0) / STEP;
  a.load_first(work.steps - own * STEP);
  b.load_first(work.steps - own * STEP);
  a.template store_all<T::A_ROW>(shared + write_a);
  b.template store_all<T::B_ROW>(shared + write_b);
  __syncthreads();
  int other = T::BUFFER;  // from the buffer that is read to the one that is written
  for (;; --left, --own) {
    if (T::TEAMS == 1 ? left > 0 : own > 0) {
      a.load();
      b.load();
    } else if (T::TEAMS > 1) {
      a.load_none();
      b.load_none();
    }
    multiply_panels<T, true>(shared + read_a, shared + read_b, sum);
    if (left == 0) break;
    write_a += other, write_b += other;
    a.template store_all<T::A_ROW>(shared + write_a);
    b.template store_all<T::B_ROW>(shared + write_b);
    __syncthreads();
    read_a += other, read_b += other;
    other = -other;
  }
}

// ---------------------------------------------------------------------------------- the tail

// What becomes of one sum before the activation: α sum + β C + bias.
__device__ __forceinline__ float affine(float sum, const GemmArgs& g, const float* bias, const float* c, int column) {
  float value = g.alpha * sum;
  if (g.beta != 0.0f) value += g.beta * *c;  // β = 0: C may hold anything
  if (bias) value += bias[column];
  return value;
}

// Calls visit(where in C, row of the slab, column of the tile) for this thread's elements of a slab of the tile.
template <class T, class Visit>
__device__ __forceinline__ void each_of_slab(const GemmArgs& g, float* c, int row, int column, const Visit& visit) {
#pragma unroll 1
  for (int e = threadIdx.x; e < T::WARP_ROWS * T::COLUMNS; e += T::THREADS) {
    int i = e / T::COLUMNS, j = e % T::COLUMNS;
    if (row + i < g.m && column + j < g.n) visit(c + (size_t)(row + i) * g.ldc + column + j, i, j);
  }
}

// Writes the tile, slab by slab. The sums of a warp lie scattered over lanes; through shared memory they become rows, and
// neighbouring lanes write neighbouring floats, however C is aligned. A slab is what one row of warps holds.
// `put(slab)` stores this thread's sums into rows of COLUMNS + PAD floats, its team's own.
//
// relu is done on the way. The others need registers that the sums still occupy, so each thread comes back for the
// elements that it wrote itself.
template <class T, class Put>
__device__ __forceinline__ void write_tile(float* shared, const GemmArgs& g, const float* bias, float* c, const Put& put) {
  static_assert(T::SLAB <= 2 * T::BUFFER, "a slab is larger than the panels");
  Work<T> work(g);
  int row = work.row, column = work.column, warp_row = Place<T>().warp_row;
  c += work.z * g.batch_c;
#pragma unroll 1
  for (int slab = 0; slab < T::ROWS / T::WARP_ROWS; ++slab) {
    __syncthreads();  // nobody reads the panels, or the slab before, any more
    if (warp_row == slab) put(shared + T::team() * T::SLAB);
    __syncthreads();
    each_of_slab<T>(g, c, row + slab * T::WARP_ROWS, column, [&](float* to, int i, int j) {
      float sum = shared[i * T::B_ROW + j];
#pragma unroll
      for (int team = 1; team < T::TEAMS; ++team) sum += shared[team * T::SLAB + i * T::B_ROW + j];
      float value = affine(sum, g, bias, to, column + j);
      *to = g.f.kind == RELU && value < 0.0f ? 0.0f : value;
    });
  }
  if (g.f.kind == LINEAR || g.f.kind == RELU) return;
#pragma unroll 1
  for (int slab = 0; slab < T::ROWS / T::WARP_ROWS; ++slab) {
    each_of_slab<T>(g, c, row + slab * T::WARP_ROWS, column, [&](float* to, int, int) {
      *to = activation_value(g.f, *to);
    });
  }
}

// The tail behind accumulate().
template <class T>
__device__ __forceinline__ void finish(const float (&sum)[T::TALL][T::WIDE], float* shared, const GemmArgs& g,
                                       const float* bias, float* c) {
  write_tile<T>(shared, g, bias, c, [&](float* slab) {
    Place<T> place;
    float* at = slab + (place.row - place.warp_row * T::WARP_ROWS) * T::B_ROW + place.column;
#pragma unroll
    for (int i = 0; i < T::TALL; ++i) {
#pragma unroll
      for (int h = 0; h < T::WIDE / 4; ++h) {
        float4 v = make_float4(sum[i][4 * h], sum[i][4 * h + 1], sum[i][4 * h + 2], sum[i][4 * h + 3]);
        *(float4*)(at + (i / 4 * T::NEXT_ROWS + i % 4) * T::B_ROW + h * T::NEXT_COLUMNS) = v;
      }
    }
  });
}

// ---------------------------------------------------------------------------------- a whole product

// Whether rows of `extent` floats, `ld` apart, can be read four floats at a time.
__device__ __forceinline__ bool in_fours(const float* p, int extent, int ld, size_t batch) {
  return ((size_t)p % 16 | extent % 4 | ld % 4 | batch % 4) == 0;
}

// A block's tile, with operands that are read VEC floats at a time.
template <class T, bool TRANSPOSE_A, bool TRANSPOSE_B, int VEC>
__device__ __forceinline__ void product_by(const float* a, const float* b, const float* bias, float* c,
                                           const GemmArgs& g, float* shared) {
  Work<T> work(g);
  a += work.product * g.batch_a + (TRANSPOSE_A ? (size_t)work.first * g.lda : work.first);
  b += work.product * g.batch_b + (TRANSPOSE_B ? work.first : (size_t)work.first * g.ldb);
  Panel<T::ROWS, T::TEAM, !TRANSPOSE_A, VEC> panel_a(a, g.lda, work.row, g.m);
  Panel<T::COLUMNS, T::TEAM, TRANSPOSE_B, VEC> panel_b(b, g.ldb, work.column, g.n);
  float sum[T::TALL][T::WIDE];
  accumulate<T>(panel_a, panel_b, work, shared, sum);
  finish<T>(sum, shared, g, bias, c);
}

// A block's tile: four floats at a time where both operands allow it.
template <class T, bool TRANSPOSE_A, bool TRANSPOSE_B>
__device__ __forceinline__ void product(const float* a, const float* b, const float* bias, float* c, const GemmArgs& g) {
  __shared__ __align__(16) float shared[T::SHARED];
  if (in_fours(a, TRANSPOSE_A ? g.m : g.k, g.lda, g.batch_a) && in_fours(b, TRANSPOSE_B ? g.k : g.n, g.ldb, g.batch_b))
    product_by<T, TRANSPOSE_A, TRANSPOSE_B, 4>(a, b, bias, c, g, shared);
  else
    product_by<T, TRANSPOSE_A, TRANSPOSE_B, 1>(a, b, bias, c, g, shared);
}
