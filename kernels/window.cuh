// The geometry of a window that slides over images [N, D, H, W, C]: what conv.cu and pool.cu share.
//
// Output position o and kernel position k meet at input position o · stride + k · dilation − before, axis by axis.
// Numbers that count elements fit into 31 bits: the host cuts larger batches into several launches.

#pragma once

// Division by a number that is known before the launch: n / d = n · multiplier >> shift, for n < 2³¹
// (Granlund and Montgomery 1994, §4). The processor has no instruction for a division; this is two.
struct Divisor {
  unsigned int multiplier, shift;
};

__device__ __forceinline__ int divide(int n, Divisor d) {
  return (int)((unsigned long long)(unsigned int)n * d.multiplier >> d.shift);
}

// src/window.rs's Window, and divisors of its extents. Axes are depth, height, width. Mirrored in src/cuda/abi.rs.
struct WindowArgs {
  int input[3], output[3], kernel[3], stride[3], dilation[3], before[3];
  int channels, filters;
  Divisor by_input[3], by_output[3], by_kernel[3], by_stride[3];
  Divisor by_channels, by_filters;
};

// A position of an image of a batch.
struct Position {
  int image, at[3];
};

// The `row`-th position of a batch of images of these extents.
__device__ __forceinline__ Position position(int row, const int (&extent)[3], const Divisor (&by)[3]) {
  Position p;
  p.image = row;
#pragma unroll
  for (int axis = 2; axis >= 0; --axis) {
    int quotient = divide(p.image, by[axis]);
    p.at[axis] = p.image - quotient * extent[axis];
    p.image = quotient;
  }
  return p;
}

// How many positions of images of these extents lie before this one.
__device__ __forceinline__ int row_of(int image, int z, int y, int x, const int (&extent)[3]) {
  return ((image * extent[0] + z) * extent[1] + y) * extent[2] + x;
}

__device__ __forceinline__ bool inside(int z, int y, int x, const int (&extent)[3]) {
  // Compared without a sign, a negative number is a large one.
  return (unsigned int)z < (unsigned int)extent[0] && (unsigned int)y < (unsigned int)extent[1] &&
         (unsigned int)x < (unsigned int)extent[2];
}

// Whether output position `o`, along `axis`, sees input position i with kernel position k; `distance` is i + before.
__device__ __forceinline__ bool meets(const WindowArgs& w, int axis, int distance, int k, int& o) {
  int corner = distance - k * w.dilation[axis];
  o = divide(max(corner, 0), w.by_stride[axis]);
  return corner >= 0 && o < w.output[axis] && o * w.stride[axis] == corner;
}
