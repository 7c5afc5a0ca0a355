//! One operation over 32 lanes. Operands are loaded eight lanes at a time before anything is stored, so that the
//! compiler sees no aliasing and every loop becomes vector instructions.

/// Runs `f` over lines of 32-bit lanes.
///
/// # Safety
/// All pointers are to 32 aligned `u32`, each either the same line as `d` or apart from it.
#[inline(always)]
pub(crate) unsafe fn l1(d: *mut u32, a: *const u32, f: impl Fn(u32) -> u32) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the line.
        unsafe {
            let x: [u32; 8] = a.add(i * 8).cast::<[u32; 8]>().read();
            let mut r = [0u32; 8];
            for j in 0..8 {
                r[j] = f(x[j]);
            }
            d.add(i * 8).cast::<[u32; 8]>().write(r);
        }
    }
}

/// # Safety
/// As [`l1`].
#[inline(always)]
pub(crate) unsafe fn l2(d: *mut u32, a: *const u32, b: *const u32, f: impl Fn(u32, u32) -> u32) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the line.
        unsafe {
            let x: [u32; 8] = a.add(i * 8).cast::<[u32; 8]>().read();
            let y: [u32; 8] = b.add(i * 8).cast::<[u32; 8]>().read();
            let mut r = [0u32; 8];
            for j in 0..8 {
                r[j] = f(x[j], y[j]);
            }
            d.add(i * 8).cast::<[u32; 8]>().write(r);
        }
    }
}

/// # Safety
/// As [`l1`].
#[inline(always)]
pub(crate) unsafe fn l3(
    d: *mut u32,
    a: *const u32,
    b: *const u32,
    c: *const u32,
    f: impl Fn(u32, u32, u32) -> u32,
) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the line.
        unsafe {
            let x: [u32; 8] = a.add(i * 8).cast::<[u32; 8]>().read();
            let y: [u32; 8] = b.add(i * 8).cast::<[u32; 8]>().read();
            let z: [u32; 8] = c.add(i * 8).cast::<[u32; 8]>().read();
            let mut r = [0u32; 8];
            for j in 0..8 {
                r[j] = f(x[j], y[j], z[j]);
            }
            d.add(i * 8).cast::<[u32; 8]>().write(r);
        }
    }
}

/// # Safety
/// As [`l1`], of 64-bit lanes.
#[inline(always)]
pub(crate) unsafe fn w1(d: *mut u64, a: *const u64, f: impl Fn(u64) -> u64) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u64; 8] = a.add(i * 8).cast::<[u64; 8]>().read();
            let mut r = [0u64; 8];
            for j in 0..8 {
                r[j] = f(x[j]);
            }
            d.add(i * 8).cast::<[u64; 8]>().write(r);
        }
    }
}

/// # Safety
/// As [`w1`].
#[inline(always)]
pub(crate) unsafe fn w2(d: *mut u64, a: *const u64, b: *const u64, f: impl Fn(u64, u64) -> u64) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u64; 8] = a.add(i * 8).cast::<[u64; 8]>().read();
            let y: [u64; 8] = b.add(i * 8).cast::<[u64; 8]>().read();
            let mut r = [0u64; 8];
            for j in 0..8 {
                r[j] = f(x[j], y[j]);
            }
            d.add(i * 8).cast::<[u64; 8]>().write(r);
        }
    }
}

/// # Safety
/// As [`w1`].
#[inline(always)]
pub(crate) unsafe fn w3(
    d: *mut u64,
    a: *const u64,
    b: *const u64,
    c: *const u64,
    f: impl Fn(u64, u64, u64) -> u64,
) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u64; 8] = a.add(i * 8).cast::<[u64; 8]>().read();
            let y: [u64; 8] = b.add(i * 8).cast::<[u64; 8]>().read();
            let z: [u64; 8] = c.add(i * 8).cast::<[u64; 8]>().read();
            let mut r = [0u64; 8];
            for j in 0..8 {
                r[j] = f(x[j], y[j], z[j]);
            }
            d.add(i * 8).cast::<[u64; 8]>().write(r);
        }
    }
}

/// 64-bit lanes with a 32-bit second operand: shifts.
///
/// # Safety
/// As [`w1`]; `b` is a line of `u32`.
#[inline(always)]
pub(crate) unsafe fn ws(d: *mut u64, a: *const u64, b: *const u32, f: impl Fn(u64, u32) -> u64) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u64; 8] = a.add(i * 8).cast::<[u64; 8]>().read();
            let y: [u32; 8] = b.add(i * 8).cast::<[u32; 8]>().read();
            let mut r = [0u64; 8];
            for j in 0..8 {
                r[j] = f(x[j], y[j]);
            }
            d.add(i * 8).cast::<[u64; 8]>().write(r);
        }
    }
}

/// 32-bit lanes to 64-bit ones.
///
/// # Safety
/// `d` is two lines apart from all others, which are lines of `u32`.
#[inline(always)]
pub(crate) unsafe fn x1(d: *mut u64, a: *const u32, f: impl Fn(u32) -> u64) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u32; 8] = a.add(i * 8).cast::<[u32; 8]>().read();
            let mut r = [0u64; 8];
            for j in 0..8 {
                r[j] = f(x[j]);
            }
            d.add(i * 8).cast::<[u64; 8]>().write(r);
        }
    }
}

/// # Safety
/// As [`x1`].
#[inline(always)]
pub(crate) unsafe fn x2(d: *mut u64, a: *const u32, b: *const u32, f: impl Fn(u32, u32) -> u64) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u32; 8] = a.add(i * 8).cast::<[u32; 8]>().read();
            let y: [u32; 8] = b.add(i * 8).cast::<[u32; 8]>().read();
            let mut r = [0u64; 8];
            for j in 0..8 {
                r[j] = f(x[j], y[j]);
            }
            d.add(i * 8).cast::<[u64; 8]>().write(r);
        }
    }
}

/// # Safety
/// As [`x1`]; `c` is 64-bit lanes, the same as `d` or apart.
#[inline(always)]
pub(crate) unsafe fn x3(
    d: *mut u64,
    a: *const u32,
    b: *const u32,
    c: *const u64,
    f: impl Fn(u32, u32, u64) -> u64,
) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u32; 8] = a.add(i * 8).cast::<[u32; 8]>().read();
            let y: [u32; 8] = b.add(i * 8).cast::<[u32; 8]>().read();
            let z: [u64; 8] = c.add(i * 8).cast::<[u64; 8]>().read();
            let mut r = [0u64; 8];
            for j in 0..8 {
                r[j] = f(x[j], y[j], z[j]);
            }
            d.add(i * 8).cast::<[u64; 8]>().write(r);
        }
    }
}

/// 64-bit lanes to 32-bit ones.
///
/// # Safety
/// `d` is a line of `u32` apart from `a`, two lines.
#[inline(always)]
pub(crate) unsafe fn n1(d: *mut u32, a: *const u64, f: impl Fn(u64) -> u32) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u64; 8] = a.add(i * 8).cast::<[u64; 8]>().read();
            let mut r = [0u32; 8];
            for j in 0..8 {
                r[j] = f(x[j]);
            }
            d.add(i * 8).cast::<[u32; 8]>().write(r);
        }
    }
}

/// A comparison: one bit a lane.
///
/// # Safety
/// `a` and `b` are lines of 32 `u32`.
#[inline(always)]
pub(crate) unsafe fn c2(a: *const u32, b: *const u32, f: impl Fn(u32, u32) -> bool) -> u32 {
    let mut m = 0u32;
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u32; 8] = a.add(i * 8).cast::<[u32; 8]>().read();
            let y: [u32; 8] = b.add(i * 8).cast::<[u32; 8]>().read();
            let mut r = 0u32;
            for j in 0..8 {
                r |= u32::from(f(x[j], y[j])) << j;
            }
            m |= r << (8 * i);
        }
    }
    m
}

/// # Safety
/// `a` and `b` are 32 `u64` each.
#[inline(always)]
pub(crate) unsafe fn k2(a: *const u64, b: *const u64, f: impl Fn(u64, u64) -> bool) -> u32 {
    let mut m = 0u32;
    for i in 0..32 {
        // SAFETY: lane `i` is within the lines.
        unsafe { m |= u32::from(f(*a.add(i), *b.add(i))) << i };
    }
    m
}

/// # Safety
/// As [`l2`].
#[inline(always)]
pub(crate) unsafe fn select32(d: *mut u32, a: *const u32, b: *const u32, p: u32) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u32; 8] = a.add(i * 8).cast::<[u32; 8]>().read();
            let y: [u32; 8] = b.add(i * 8).cast::<[u32; 8]>().read();
            let mut r = [0u32; 8];
            for j in 0..8 {
                let take = 0u32.wrapping_sub(p >> (8 * i + j) & 1);
                r[j] = x[j] & take | y[j] & !take;
            }
            d.add(i * 8).cast::<[u32; 8]>().write(r);
        }
    }
}

/// # Safety
/// As [`w2`].
#[inline(always)]
pub(crate) unsafe fn select64(d: *mut u64, a: *const u64, b: *const u64, p: u32) {
    for i in 0..4 {
        // SAFETY: eight lanes from `8 i` are within the lines.
        unsafe {
            let x: [u64; 8] = a.add(i * 8).cast::<[u64; 8]>().read();
            let y: [u64; 8] = b.add(i * 8).cast::<[u64; 8]>().read();
            let mut r = [0u64; 8];
            for j in 0..8 {
                let take = 0u64.wrapping_sub(u64::from(p >> (8 * i + j) & 1));
                r[j] = x[j] & take | y[j] & !take;
            }
            d.add(i * 8).cast::<[u64; 8]>().write(r);
        }
    }
}
