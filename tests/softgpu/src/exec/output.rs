//! `printf` and `assert` of kernels.

use std::io::Write;

use super::access::each;
use super::code::Inst;
use super::warp::{ASSERT, Block, Fault, Step, Warp};
use crate::memory::{LOCAL_WINDOW, WINDOW_SIZE};

impl Block<'_> {
    fn local_word(w: &Warp, at: u32, lane: u32, bytes: u32) -> u64 {
        (0..bytes).fold(0, |v, b| {
            let byte = (at + b) as usize;
            let word = w.local.get(byte / 4 * 32 + lane as usize).copied().unwrap_or(0);
            v | u64::from(word >> (byte % 4 * 8) & 0xff) << (8 * b)
        })
    }

    /// A text in the kernel's memory.
    fn text(&self, address: u64) -> String {
        let Some(a) = self.launch.space.find(address) else { return "(no string)".into() };
        let mut out = Vec::new();
        for at in address - a.base..a.size {
            // SAFETY: `at` is within the allocation.
            let c = unsafe { *a.host.add(at as usize) };
            if c == 0 {
                break;
            }
            out.push(c);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// # Safety
    /// The instruction was made for the warp's file.
    pub(crate) unsafe fn printf(&mut self, w: &mut Warp, i: &Inst, pool: &[u32], m: u32) -> Step<()> {
        let places: Vec<u32> = (0..3)
            // SAFETY: operands are lines of constants.
            .map(|k| unsafe { *w.file.add(pool[i.p as usize + k] as usize).cast::<u32>() })
            .collect();
        let mut out = String::new();
        each(m, |l| {
            let format = self.text(Self::local_word(w, places[0], l, 8));
            let args = Self::local_word(w, places[1], l, 8).wrapping_sub(LOCAL_WINDOW);
            let mut at = if args < WINDOW_SIZE { args as u32 } else { 0 };
            let mut count = 0;
            let mut next = |bytes: u32| {
                at = at.next_multiple_of(bytes);
                let v = Self::local_word(w, at, l, bytes);
                at += bytes;
                count += 1;
                v
            };
            out += &format_text(&format, &mut next, &|a| self.text(a));
            // the result: how many arguments there were
            for b in 0..4 {
                let byte = (places[2] + b) as usize;
                let word = &mut w.local[byte / 4 * 32 + l as usize];
                *word = *word & !(0xff << (byte % 4 * 8)) | (count >> (8 * b) & 0xff) << (byte % 4 * 8);
                w.local_written[byte] |= 1 << l;
            }
            Ok(())
        })?;
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(out.as_bytes());
        let _ = stdout.flush();
        Ok(())
    }

    /// # Safety
    /// The instruction was made for the warp's file.
    pub(crate) unsafe fn assert(&mut self, w: &Warp, i: &Inst, pool: &[u32], m: u32) -> Step<()> {
        let place = |k: usize| {
            // SAFETY: operands are lines of constants.
            unsafe { *w.file.add(pool[i.p as usize + k] as usize).cast::<u32>() }
        };
        let l = m.trailing_zeros() & 31;
        let message = self.text(Self::local_word(w, place(0), l, 8));
        let file = self.text(Self::local_word(w, place(1), l, 8));
        let line = Self::local_word(w, place(2), l, 4);
        let function = self.text(Self::local_word(w, place(3), l, 8));
        let text = format!("assertion `{message}` failed in {function}, {file}:{line}");
        Err(Fault::new(ASSERT, l, text))
    }
}

/// C's printf, of what the device supports.
fn format_text(format: &str, next: &mut impl FnMut(u32) -> u64, text: &dyn Fn(u64) -> String) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (mut flags, mut width, mut precision, mut long) = (String::new(), 0usize, None, 0);
        while let Some(c) = chars.peek().copied().filter(|c| "-+ #0".contains(*c)) {
            flags.push(c);
            chars.next();
        }
        while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
            width = width * 10 + d as usize;
            chars.next();
        }
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut p = 0;
            while let Some(d) = chars.peek().and_then(|c| c.to_digit(10)) {
                p = p * 10 + d as usize;
                chars.next();
            }
            precision = Some(p);
        }
        while let Some(c) = chars.peek().copied().filter(|c| "lhzjt".contains(*c)) {
            long += usize::from(c != 'h');
            chars.next();
        }
        let signed = |n: i64| if flags.contains('+') && n >= 0 { format!("+{n}") } else { n.to_string() };
        let int = |next: &mut dyn FnMut(u32) -> u64| if long > 0 { next(8) } else { next(4) };
        let body = match chars.next() {
            Some('%') => "%".to_string(),
            Some('d' | 'i') => {
                let v = int(next);
                signed(if long > 0 { v as i64 } else { i64::from(v as i32) })
            }
            Some('u') => int(next).to_string(),
            Some('x') => format!("{:x}", int(next)),
            Some('X') => format!("{:X}", int(next)),
            Some('o') => format!("{:o}", int(next)),
            Some('p') => format!("{:#x}", next(8)),
            Some('c') => char::from(next(4) as u8).to_string(),
            Some('s') => {
                let s = text(next(8));
                precision.map_or(s.clone(), |p| s.chars().take(p).collect())
            }
            Some('f' | 'F') => format!("{:.*}", precision.unwrap_or(6), f64::from_bits(next(8))),
            Some('e' | 'E') => {
                // C writes at least two digits of the exponent, and its sign
                let s = format!("{:.*e}", precision.unwrap_or(6), f64::from_bits(next(8)));
                match s.split_once('e') {
                    Some((m, e)) => {
                        let e: i32 = e.parse().unwrap_or(0);
                        format!("{m}e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs())
                    }
                    None => s,
                }
            }
            Some('g' | 'G') => format!("{}", f64::from_bits(next(8)) as f32),
            Some(c) => format!("%{c}"),
            None => "%".to_string(),
        };
        let pad = width.saturating_sub(body.chars().count());
        if flags.contains('-') {
            out += &body;
            out.extend(std::iter::repeat_n(' ', pad));
        } else if flags.contains('0') {
            let (sign, digits) = body.split_at(usize::from(body.starts_with(['-', '+'])));
            out += sign;
            out.extend(std::iter::repeat_n('0', pad));
            out += digits;
        } else {
            out.extend(std::iter::repeat_n(' ', pad));
            out += &body;
        }
    }
    out
}
