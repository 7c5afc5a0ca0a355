//! Values between lanes: shuffles, votes, matches, reductions of a warp.

use super::code::Inst;
use super::ops::Op;
use super::warp::{Fault, LAUNCH_FAILED, Step, Warp, lanes_text};

/// # Safety
/// `at` is a place of a line in the file.
unsafe fn line(file: *const u8, at: u32) -> [u32; 32] {
    // SAFETY: the caller's word.
    unsafe { *file.add(at as usize).cast::<[u32; 32]>() }
}

/// # Safety
/// As [`line`], of a predicate.
unsafe fn set_pred(file: *mut u8, at: u32, m: u32, v: u32) {
    // SAFETY: the caller's word.
    unsafe {
        let p = file.add(at as usize).cast::<u32>();
        *p = *p & !m | v & m;
    }
}

/// Which operand of an instruction for several lanes is its member mask.
pub(crate) fn member_operand(i: &Inst, pool: &[u32]) -> u32 {
    match i.op {
        Op::Shuffle => pool[i.p as usize + 5],
        Op::Elect => i.a,
        _ => i.b,
    }
}

/// The lanes that must take part, if all of `m` agree about it.
///
/// # Safety
/// The instruction was made for the warp's file.
pub(crate) unsafe fn members(w: &Warp, i: &Inst, pool: &[u32], m: u32) -> Step<u32> {
    // SAFETY: the operand is a line.
    let masks = unsafe { line(w.file, member_operand(i, pool)) };
    let lead = m.trailing_zeros();
    let mask = masks[lead as usize & 31];
    for l in 0..32 {
        if m >> l & 1 == 1 && masks[l as usize] >> l & 1 == 0 {
            let text = format!("member mask {:#010x} does not name the lane itself", masks[l as usize]);
            return Err(Fault::new(LAUNCH_FAILED, l, text));
        }
    }
    if (0..32).any(|l| m >> l & 1 == 1 && masks[l as usize] != mask) && i.op != Op::Match {
        // groups of lanes with masks of their own are fine as long as each group is complete
        let all = (0..32).filter(|l| m >> l & 1 == 1).fold(0, |a, l| a | masks[l as usize]);
        return Ok(all);
    }
    Ok(mask)
}

/// # Safety
/// The instruction was made for the warp's file.
pub(crate) unsafe fn exchange(w: &mut Warp, i: &Inst, pool: &[u32], m: u32) -> Step<()> {
    let file = w.file;
    let ops = &pool[i.p as usize..];
    // SAFETY: all places below are the instruction's own, of the widths that its operation has.
    unsafe {
        let masks = line(file, member_operand(i, pool));
        let write = |at: u32, r: &[u32; 32]| {
            let d = file.add(at as usize).cast::<u32>();
            for (l, v) in r.iter().enumerate() {
                if m >> l & 1 == 1 {
                    *d.add(l) = *v;
                }
            }
        };
        let mut r = [0u32; 32];
        let mut p = 0u32;
        match i.op {
            Op::Shuffle => {
                let (a, b, c) = (line(file, ops[2]), line(file, ops[3]), line(file, ops[4]));
                for l in 0..32u32 {
                    if m >> l & 1 == 0 {
                        continue;
                    }
                    let (bv, cv) = (b[l as usize] & 31, c[l as usize]);
                    let (clamp, seg) = (cv & 31, cv >> 8 & 31);
                    let max = l & seg | clamp & !seg;
                    let min = l & seg;
                    let (j, ok) = match i.x {
                        0 => (l as i32 - bv as i32, l as i32 - bv as i32 >= max as i32),
                        1 => ((l + bv) as i32, l + bv <= max),
                        2 => ((l ^ bv) as i32, l ^ bv <= max),
                        _ => {
                            let j = min | bv & !seg;
                            (j as i32, j <= max)
                        }
                    };
                    let j = if ok { j as u32 & 31 } else { l };
                    if ok && j != l && m >> j & 1 == 0 {
                        let why =
                            if w.live >> j & 1 == 0 { "has exited or never was" } else { "is not here" };
                        let text = format!("shuffle: reads lane {j}, which {why}");
                        return Err(Fault::new(LAUNCH_FAILED, l, text));
                    }
                    if ok && masks[l as usize] >> j & 1 == 0 {
                        let text = format!(
                            "shuffle: reads lane {j}, which the member mask {:#010x} does not name",
                            masks[l as usize]
                        );
                        return Err(Fault::new(LAUNCH_FAILED, l, text));
                    }
                    r[l as usize] = a[j as usize];
                    p |= u32::from(ok) << l;
                }
                write(ops[0], &r);
                set_pred(file, ops[1], m, p);
            }
            Op::Vote => {
                let v = *file.add(i.a as usize).cast::<u32>();
                for l in 0..32usize {
                    let mm = masks[l] & m;
                    r[l] = v & mm;
                    let yes = match i.x {
                        0 => v & mm == mm,
                        1 => v & mm != 0,
                        _ => v & mm == mm || v & mm == 0,
                    };
                    p |= u32::from(yes) << l;
                }
                if i.x == 3 { write(i.d, &r) } else { set_pred(file, i.d, m, p) }
            }
            Op::Match => {
                let wide = i.x & 2 != 0;
                let value = |l: usize| -> u64 {
                    if wide {
                        *file.add(i.a as usize).cast::<u64>().add(l)
                    } else {
                        u64::from(*file.add(i.a as usize).cast::<u32>().add(l))
                    }
                };
                for l in 0..32usize {
                    if m >> l & 1 == 0 {
                        continue;
                    }
                    let mm = masks[l] & m;
                    let same = (0..32)
                        .filter(|k| mm >> k & 1 == 1 && value(*k) == value(l))
                        .fold(0u32, |a, k| a | 1 << k);
                    if i.x & 1 == 1 {
                        let all = same == mm;
                        r[l] = if all { mm } else { 0 };
                        p |= u32::from(all) << l;
                    } else {
                        r[l] = same;
                    }
                }
                write(ops[0], &r);
                set_pred(file, ops[1], m, p);
            }
            Op::Redux => {
                let a = line(file, i.a);
                for l in 0..32usize {
                    let mm = masks[l] & m;
                    let vals = (0..32).filter(|k| mm >> k & 1 == 1).map(|k| a[k]);
                    r[l] = match i.x {
                        0 | 8 => vals.fold(0, u32::wrapping_add),
                        1 => vals.min().unwrap_or(0),
                        2 => vals.max().unwrap_or(0),
                        9 => vals.map(|v| v as i32).min().unwrap_or(0) as u32,
                        10 => vals.map(|v| v as i32).max().unwrap_or(0) as u32,
                        3 => vals.fold(u32::MAX, |x, y| x & y),
                        4 => vals.fold(0, |x, y| x | y),
                        _ => vals.fold(0, |x, y| x ^ y),
                    };
                }
                write(i.d, &r);
            }
            _ => {
                let lead = m.trailing_zeros();
                write(ops[0], &[lead; 32]);
                set_pred(file, ops[1], m, 1 << lead);
            }
        }
    }
    Ok(())
}

pub(crate) fn missing(op: Op, mask: u32, here: u32, live: u32) -> String {
    let what = match op {
        Op::Shuffle => "shuffle",
        Op::Vote => "vote",
        Op::Match => "match",
        Op::Redux => "redux",
        Op::WarpSync => "bar.warp.sync",
        _ => "warp operation",
    };
    let gone = mask & !live;
    let away = mask & live & !here;
    let mut text = format!("{what}: the member mask {mask:#010x} names ");
    if gone != 0 {
        text += &format!("{}, which exited or never were", lanes_text(gone));
        if away != 0 {
            text += ", and ";
        }
    }
    if away != 0 {
        text += &format!("{}, which are elsewhere", lanes_text(away));
    }
    text
}
