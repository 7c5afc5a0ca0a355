//! CUDA C, compiled by NVRTC. Skipped aloud without it: set `HANDGRAD_NVRTC` to the path of `libnvrtc.so.12`, and
//! `HANDGRAD_REQUIRE_ALL=1` to fail instead.

mod device;

use std::ffi::{CString, c_char, c_int, c_void};

use device::Gpu;
use softgpu::control;

/// CUDA C to PTX; `None` where there is no NVRTC.
fn compile(source: &str) -> Option<String> {
    let Some(path) = std::env::var_os("HANDGRAD_NVRTC").filter(|path| !path.is_empty()) else {
        let required = std::env::var_os("HANDGRAD_REQUIRE_ALL").is_some_and(|v| v == "1");
        // There is an NVRTC for Linux and Windows, and the software driver is a Linux library.
        assert!(
            !required || !cfg!(target_os = "linux"),
            "HANDGRAD_NVRTC is not set, and HANDGRAD_REQUIRE_ALL is"
        );
        eprintln!("SKIPPED: no NVRTC (set HANDGRAD_NVRTC to the path of libnvrtc.so.12)");
        return None;
    };
    type Program = *mut c_void;
    type Create = unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int;
    type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
    type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
    type Text = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
    // SAFETY: NVRTC's functions with their types, pointers to locals.
    unsafe {
        let lib = libloading::Library::new(&path).expect("HANDGRAD_NVRTC");
        let get = |size: &[u8], text: &[u8], p: Program| {
            let mut n = 0;
            lib.get::<Size>(size).unwrap()(p, &mut n);
            let mut out = vec![0u8; n];
            lib.get::<Text>(text).unwrap()(p, out.as_mut_ptr().cast());
            out.pop();
            String::from_utf8(out).unwrap()
        };
        let source = CString::new(source).unwrap();
        let mut p = std::ptr::null_mut();
        let none: *const *const c_char = std::ptr::null();
        assert_eq!(
            lib.get::<Create>(b"nvrtcCreateProgram").unwrap()(
                &mut p,
                source.as_ptr(),
                none.cast(),
                0,
                none,
                none
            ),
            0
        );
        let options = [c"--gpu-architecture=compute_80".as_ptr(), c"-lineinfo".as_ptr()];
        let r = lib.get::<Compile>(b"nvrtcCompileProgram").unwrap()(p, 2, options.as_ptr());
        assert_eq!(r, 0, "{}", get(b"nvrtcGetProgramLogSize", b"nvrtcGetProgramLog", p));
        let ptx = get(b"nvrtcGetPTXSize", b"nvrtcGetPTX", p);
        std::mem::forget(lib);
        Some(ptx)
    }
}

const SGEMM: &str = r#"
extern "C" __global__ void k(const float* __restrict__ A, const float* __restrict__ B, float* __restrict__ C) {
    const int N = 128, T = 32;
    __shared__ float a[T][T + 1], b[T][T + 1];
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float acc[2][2] = {};
    int row = blockIdx.x / 4 * T, col = blockIdx.x % 4 * T;
    for (int k0 = 0; k0 < N; k0 += T) {
        for (int i = threadIdx.x; i < T * T; i += 256) {
            a[i / T][i % T] = A[(row + i / T) * N + k0 + i % T];
            b[i / T][i % T] = B[(k0 + i / T) * N + col + i % T];
        }
        __syncthreads(); // 1
        for (int k = 0; k < T; k++)
            for (int i = 0; i < 2; i++)
                for (int j = 0; j < 2; j++) acc[i][j] += a[ty + 16 * i][k] * b[k][tx + 16 * j];
        __syncthreads(); // 2
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) C[(row + ty + 16 * i) * N + col + tx + 16 * j] = acc[i][j];
}"#;

fn matrices() -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let n = 128;
    let a: Vec<f32> = (0..n * n).map(|i| ((i * 7 + 3) % 13) as f32 - 6.0).collect();
    let b: Vec<f32> = (0..n * n).map(|i| ((i * 5 + 1) % 11) as f32 - 5.0).collect();
    let mut c = vec![0f32; n * n];
    for i in 0..n {
        for k in 0..n {
            for j in 0..n {
                c[i * n + j] += a[i * n + k] * b[k * n + j];
            }
        }
    }
    (a, b, c)
}

/// A tiled product is right in every order, and each of its barriers is missed when it is taken away.
#[test]
fn tiled_product_and_its_barriers() {
    let Some(ptx) = compile(SGEMM) else { return };
    let (a, b, c) = matrices();
    for order in ["forward", "reverse", "random:1"] {
        let gpu = Gpu::new();
        assert!(control::set("order", order));
        let (pa, pb, pc) = (gpu.upload(&a), gpu.upload(&b), gpu.alloc(4 * c.len()));
        gpu.run(&ptx, 16, 256, &[pa, pb, pc]).unwrap_or_else(|e| panic!("{order}: {e:?}"));
        assert!(gpu.download::<f32>(pc, c.len()) == c, "{order}");
        drop(gpu);
        for barrier in ["__syncthreads(); // 1", "__syncthreads(); // 2"] {
            let gpu = Gpu::new();
            assert!(control::set("order", order));
            let ptx = compile(&SGEMM.replace(barrier, "")).unwrap();
            let (pa, pb, pc) = (gpu.upload(&a), gpu.upload(&b), gpu.alloc(4 * c.len()));
            let (_, report) = gpu.run(&ptx, 16, 256, &[pa, pb, pc]).expect_err(barrier);
            assert!(report.contains("race") || report.contains("unwritten"), "{order}: {report}");
            assert!(report.contains("default_program:"), "the source line is missing: {report}");
        }
    }
}

/// The mathematics of CUDA's own headers, with its tables, local arrays and calls.
#[test]
fn mathematics() {
    let source = r#"
__device__ __noinline__ float twice(float x, int n) { float s = 0; for (int i = 0; i < n; i++) s += x; return s; }
struct Given { float scale; int n; };
extern "C" __global__ void k(const float* x, float* y, Given g) {
    int i = threadIdx.x; float v = x[i], o[12];
    o[0] = expf(v); o[1] = logf(v); o[2] = sinf(v * 1e6f); o[3] = cosf(v); o[4] = tanhf(v); o[5] = powf(v, 1.5f);
    o[6] = sqrtf(v); o[7] = v / 3.0f; o[8] = erff(v); o[9] = fmodf(v, 0.3f); o[10] = twice(v, g.n); o[11] = v * g.scale;
    for (int j = 0; j < 12; j++) y[i * 12 + j] = o[(j + i) % 12];
}"#;
    let Some(ptx) = compile(source) else { return };
    let gpu = Gpu::new();
    let x: Vec<f32> = (0..64).map(|i| 0.05 + i as f32 * 0.04).collect();
    let (px, py) = (gpu.upload(&x), gpu.alloc(64 * 12 * 4));
    let given = u64::from(0.5f32.to_bits()) | 2 << 32;
    gpu.run(&ptx, 1, 64, &[px, py, given]).unwrap();
    let y = gpu.download::<f32>(py, 64 * 12);
    for (i, v) in x.iter().enumerate() {
        let d = f64::from(*v);
        let want = [
            d.exp(),
            d.ln(),
            f64::from(*v * 1e6).sin(),
            d.cos(),
            d.tanh(),
            d.powf(1.5),
            d.sqrt(),
            d / 3.0,
            f64::NAN,
            d % f64::from(0.3f32),
            2.0 * d,
            0.5 * d,
        ];
        for j in 0..12 {
            let (got, want) = (f64::from(y[i * 12 + (j + 12 - i % 12) % 12]), want[j]);
            assert!(
                want.is_nan() || (got - want).abs() <= 4e-6 * want.abs().max(1e-2),
                "{j} of {v}: {got}, {want}"
            );
        }
    }
}

/// `printf` and `assert` of a kernel.
#[test]
fn assertions() {
    let Some(ptx) = compile(
        r#"extern "C" __global__ void k(int* x) { if (threadIdx.x == 3) printf("thread %d of %s: %5.2f\n", 3, "k", 2.5); assert(x[threadIdx.x] == 0); }"#,
    ) else {
        return;
    };
    let gpu = Gpu::new();
    let mut x = [0i32; 32];
    gpu.run(&ptx, 1, 32, &[gpu.upload(&x)]).unwrap();
    x[9] = 1;
    let (code, report) = gpu.run(&ptx, 1, 32, &[gpu.upload(&x)]).unwrap_err();
    assert_eq!(code, 710);
    assert!(
        report.contains("assertion `x[threadIdx.x] == 0` failed") && report.contains("thread (9, 0, 0)"),
        "{report}"
    );
}

/// A histogram in shared memory, and tensor cores fed by `ldmatrix`.
#[test]
fn atomics_and_tensor_cores() {
    let source = r#"
extern "C" __global__ void k(const unsigned char* x, unsigned* h, int n) {
    __shared__ unsigned s[16];
    if (threadIdx.x < 16) s[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&s[x[i] % 16], 1u);
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&h[threadIdx.x], s[threadIdx.x]);
}
extern "C" __global__ void mm(const unsigned short* A, const unsigned short* B, float* C) {
    __shared__ __align__(16) unsigned short a[256], b[128];
    for (int i = threadIdx.x; i < 256; i += 32) a[i] = A[i];
    for (int i = threadIdx.x; i < 128; i += 32) b[i] = B[i];
    __syncthreads();
    int l = threadIdx.x, g = l / 4, t = l % 4; unsigned x[4], y[2]; float c[4] = {};
    unsigned pa = (unsigned)__cvta_generic_to_shared(&a[(l % 16) * 16 + (l / 16) * 8]);
    unsigned pb = (unsigned)__cvta_generic_to_shared(&b[(l % 16) * 8]);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];" : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(pa));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1},[%2];" : "=r"(y[0]), "=r"(y[1]) : "r"(pb));
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
    for (int i = 0; i < 4; i++) C[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = c[i];
}"#;
    let Some(ptx) = compile(source) else { return };
    let gpu = Gpu::new();
    let x: Vec<u8> = (0..1000).map(|i| (i * i % 251) as u8).collect();
    let (px, ph) = (gpu.upload(&x), gpu.upload(&[0u32; 16]));
    let m = gpu.module(&ptx).unwrap();
    gpu.launch(gpu.function(m, "k"), 3, 64, 0, &[px, ph, 1000]).unwrap();
    let mut want = [0u32; 16];
    x.iter().for_each(|v| want[*v as usize % 16] += 1);
    assert_eq!(gpu.download::<u32>(ph, 16), want);
    let bf = |v: usize| ((v as f32).to_bits() >> 16) as u16;
    let a: Vec<u16> = (0..256).map(|i| bf(i % 7)).collect();
    let b: Vec<u16> = (0..128).map(|i| bf(i % 5)).collect();
    let out = gpu.alloc(512);
    gpu.launch(gpu.function(m, "mm"), 1, 32, 0, &[gpu.upload(&a), gpu.upload(&b), out]).unwrap();
    let c = gpu.download::<f32>(out, 128);
    for i in 0..16 {
        for j in 0..8 {
            let want: usize = (0..16).map(|k| (i * 16 + k) % 7 * ((k * 8 + j) % 5)).sum();
            assert_eq!(c[i * 8 + j], want as f32, "{i} {j}");
        }
    }
}
