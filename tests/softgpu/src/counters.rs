//! Counters: what a kernel executed, what it moved, and what it need not have.
//!
//! Every worker counts for itself; a launch adds its workers up, kernels of one name add up their launches.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Mutex;

use crate::exec::code::{Class, Code, Mem, MemSpace, Order};
use crate::exec::ops::Op;
use crate::sched::Launch;

/// Global memory, loads or stores.
#[derive(Clone, Copy, Default, Debug)]
struct Traffic {
    requested: u64,
    sectors: u64,
    ideal: u64,
    distinct: u64,
}

/// Shared memory, loads or stores: passes over the banks, and how many of them only conflicts need.
#[derive(Clone, Copy, Default, Debug)]
struct Banks {
    wavefronts: u64,
    conflicts: u64,
}

impl Banks {
    fn add(&mut self, o: Banks) {
        self.wavefronts += o.wavefronts;
        self.conflicts += o.conflicts;
    }
}

/// Which bytes of allocations were touched: a bit each, by the allocation's address.
type Touched = HashMap<u64, Vec<u64>>;

/// What one worker counts during a launch.
pub(crate) struct Tally {
    /// By instruction: how often a warp, and how often a thread executed it.
    warps: Vec<u64>,
    threads: Vec<u64>,
    /// By instruction: loads and stores of shared memory.
    banks: HashMap<u32, [Banks; 2]>,
    traffic: [Traffic; 2],
    touched: [Touched; 2],
    pc: u32,
    pub blocks: u64,
    pub barriers: u64,
}

impl Tally {
    pub(crate) fn new(launch: &Launch) -> Tally {
        let n = launch.code.insts.len();
        Tally {
            warps: vec![0; n],
            threads: vec![0; n],
            banks: HashMap::new(),
            traffic: Default::default(),
            touched: Default::default(),
            pc: 0,
            blocks: 0,
            barriers: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn executed(&mut self, pc: u32, m: u32) {
        self.pc = pc;
        self.warps[pc as usize] += 1;
        self.threads[pc as usize] += u64::from(m.count_ones());
    }

    /// An access of shared memory by the lanes `m`.
    pub(crate) fn shared(&mut self, addrs: &[u64], m: u32, mem: &Mem, store: bool) {
        let b = bank_passes(addrs, m, u64::from(mem.bytes) * u64::from(mem.vec));
        self.banks.entry(self.pc).or_default()[usize::from(store)].add(b);
    }

    /// An access of global memory by the lanes `m`, in allocations of this launch.
    pub(crate) fn global(&mut self, launch: &Launch, addrs: &[u64], m: u32, mem: &Mem, store: bool) {
        if mem.space == MemSpace::Const {
            return;
        }
        let bytes = u64::from(mem.bytes) * u64::from(mem.vec);
        let mut starts: Vec<u64> = (0..32).filter(|l| m >> l & 1 == 1).map(|l| addrs[l as usize]).collect();
        let t = &mut self.traffic[usize::from(store)];
        t.requested += bytes * starts.len() as u64;
        starts.sort_unstable();
        // aligned accesses of one size either coincide or are apart
        starts.dedup();
        t.ideal += (bytes * starts.len() as u64).div_ceil(32);
        let mut last = u64::MAX;
        for a in &starts {
            for sector in a / 32..=(a + bytes - 1) / 32 {
                t.sectors += u64::from(sector != last);
                last = sector;
            }
        }
        let touched = &mut self.touched[usize::from(store)];
        for a in starts {
            let i = launch.snapshot.partition_point(|x| x.base <= a);
            let Some(x) = i.checked_sub(1).and_then(|i| launch.snapshot.get(i)) else { continue };
            if a + bytes > x.end() {
                continue;
            }
            let bits = touched.entry(x.base).or_insert_with(|| vec![0; x.size.div_ceil(64) as usize + 1]);
            for b in a - x.base..a - x.base + bytes {
                bits[(b / 64) as usize] |= 1 << (b % 64);
            }
        }
    }

    /// Adds a worker's counts to those of the launch.
    pub(crate) fn finish(self, launch: &Launch) {
        let mut slot = launch.tally.lock().unwrap_or_else(|e| e.into_inner());
        let Some(sum) = slot.as_mut() else {
            *slot = Some(self);
            return;
        };
        for (x, y) in sum.warps.iter_mut().zip(&self.warps) {
            *x += y;
        }
        for (x, y) in sum.threads.iter_mut().zip(&self.threads) {
            *x += y;
        }
        for (pc, b) in self.banks {
            let s = sum.banks.entry(pc).or_default();
            s[0].add(b[0]);
            s[1].add(b[1]);
        }
        for k in 0..2 {
            sum.traffic[k].requested += self.traffic[k].requested;
            sum.traffic[k].sectors += self.traffic[k].sectors;
            sum.traffic[k].ideal += self.traffic[k].ideal;
        }
        for (mine, theirs) in sum.touched.iter_mut().zip(self.touched) {
            for (base, bits) in theirs {
                let to = mine.entry(base).or_insert_with(|| vec![0; bits.len()]);
                for (x, y) in to.iter_mut().zip(bits) {
                    *x |= y;
                }
            }
        }
        sum.blocks += self.blocks;
        sum.barriers += self.barriers;
    }
}

/// Passes over 32 banks of 4 bytes. Accesses of 8 bytes are made by half a warp at a time, those of 16 by a quarter.
fn bank_passes(addrs: &[u64], m: u32, bytes: u64) -> Banks {
    let group = match bytes {
        16.. => 8,
        8 => 16,
        _ => 32,
    };
    let mut out = Banks::default();
    for first in (0..32).step_by(group) {
        let mut words: Vec<u64> = (first..first + group)
            .filter(|l| m >> l & 1 == 1)
            .flat_map(|l| addrs[l] / 4..(addrs[l] + bytes).div_ceil(4))
            .collect();
        if words.is_empty() {
            continue;
        }
        words.sort_unstable();
        words.dedup();
        let mut banks = [0u64; 32];
        for w in words {
            banks[(w % 32) as usize] += 1;
        }
        let passes = banks.into_iter().max().unwrap_or(1);
        out.wavefronts += passes;
        out.conflicts += passes - 1;
    }
    out
}

/// Instructions by class.
#[derive(Clone, Default)]
struct Classes {
    warps: [u64; Class::ALL.len()],
    threads: [u64; Class::ALL.len()],
}

impl Classes {
    fn of(code: &Code, t: &Tally, range: std::ops::RangeInclusive<usize>) -> Classes {
        let mut out = Classes::default();
        for pc in range {
            let info = &code.infos[pc];
            if info.first {
                out.warps[info.class as usize] += t.warps[pc];
                out.threads[info.class as usize] += t.threads[pc];
            }
        }
        out
    }

    fn add(&mut self, o: &Classes) {
        for i in 0..self.warps.len() {
            self.warps[i] += o.warps[i];
            self.threads[i] += o.threads[i];
        }
    }

    fn json(&self, out: &mut String) {
        for (name, counts) in [("warp_instructions", &self.warps), ("thread_instructions", &self.threads)] {
            let _ = write!(out, "\"{name}\":{{\"total\":{}", counts.iter().sum::<u64>());
            for (class, label) in Class::ALL {
                let _ = write!(out, ",\"{label}\":{}", counts[class as usize]);
            }
            out.push_str("},");
        }
        let all = self.warps.iter().sum::<u64>();
        let share = if all == 0 { 0.0 } else { self.warps[Class::Fma as usize] as f64 / all as f64 };
        let _ = write!(out, "\"fma_share\":{share:.6}");
    }
}

/// Counters of the kernels of one name.
#[derive(Clone, Default)]
struct Kernel {
    launches: u64,
    blocks: u64,
    threads: u64,
    all: Classes,
    main_loop: Classes,
    /// PTX lines of the main loop of the last launch that had one.
    main_lines: Option<(u32, u32)>,
    traffic: [Traffic; 2],
    banks: [Banks; 2],
    main_banks: [Banks; 2],
    barriers: u64,
    shared_bytes: u32,
}

static KERNELS: Mutex<BTreeMap<String, Kernel>> = Mutex::new(BTreeMap::new());

/// The smallest loop in which a warp spends half of its instructions; if there is none, the innermost loop with the most.
///
/// A loop is a branch backwards. Such a branch may also lead from a block that the compiler has laid out behind the loop
/// back into it: the innermost loop alone would often be one of these, with a handful of instructions.
fn main_loop(code: &Code, t: &Tally) -> Option<(usize, usize)> {
    let loops: Vec<(usize, usize)> = code
        .insts
        .iter()
        .enumerate()
        .filter(|(pc, i)| i.op == Op::Branch && i.x as usize <= *pc)
        .map(|(pc, i)| (i.x as usize, pc))
        .collect();
    let inner = |l: &&(usize, usize)| !loops.iter().any(|o| o != *l && o.0 >= l.0 && o.1 <= l.1);
    let work = |l: &&(usize, usize)| t.warps[l.0..=l.1].iter().sum::<u64>();
    let total = t.warps.iter().sum::<u64>();
    let half = loops.iter().filter(|l| 2 * work(l) >= total && total > 0).min_by_key(|l| l.1 - l.0);
    half.or_else(|| loops.iter().filter(inner).max_by_key(work).filter(|l| work(l) > 0)).copied()
}

/// A launch has ended.
pub(crate) fn record(launch: &Launch) {
    let Some(t) = launch.tally.lock().unwrap_or_else(|e| e.into_inner()).take() else { return };
    let code = &*launch.code;
    let mut kernels = KERNELS.lock().unwrap_or_else(|e| e.into_inner());
    let k = kernels.entry(code.name.clone()).or_default();
    k.launches += 1;
    k.blocks += t.blocks;
    k.threads += t.blocks * u64::from(launch.threads());
    if !code.insts.is_empty() {
        k.all.add(&Classes::of(code, &t, 0..=code.insts.len() - 1));
    }
    let main = main_loop(code, &t);
    if let Some((first, last)) = main {
        k.main_loop.add(&Classes::of(code, &t, first..=last));
        k.main_lines = Some((code.infos[first].line, code.infos[last].line));
    }
    for s in 0..2 {
        k.traffic[s].requested += t.traffic[s].requested;
        k.traffic[s].sectors += t.traffic[s].sectors;
        k.traffic[s].ideal += t.traffic[s].ideal;
        let bits = t.touched[s].values().flatten();
        k.traffic[s].distinct += bits.map(|b| u64::from(b.count_ones())).sum::<u64>();
        for (pc, b) in &t.banks {
            k.banks[s].add(b[s]);
            if main.is_some_and(|(f, l)| (f..=l).contains(&(*pc as usize))) {
                k.main_banks[s].add(b[s]);
            }
        }
    }
    k.barriers += t.barriers;
    k.shared_bytes = k.shared_bytes.max(code.shared_packed + launch.dynamic);
}

/// Forgets all counters.
pub fn reset_counters() {
    KERNELS.lock().unwrap_or_else(|e| e.into_inner()).clear();
}

fn banks_json(out: &mut String, b: &[Banks; 2]) {
    out.push_str(",\"shared_memory\":{");
    for (name, b) in [("\"load\"", b[0]), (",\"store\"", b[1])] {
        let _ = write!(out, "{name}:{{\"wavefronts\":{},\"conflicts\":{}}}", b.wavefronts, b.conflicts);
    }
    out.push('}');
}

/// All counters by kernel, as JSON.
pub fn counters() -> String {
    let kernels = KERNELS.lock().unwrap_or_else(|e| e.into_inner());
    let mut out = String::from("{");
    for (i, (name, k)) in kernels.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        // names of PTX have nothing that JSON would escape
        let _ = write!(
            out,
            "\"{name}\":{{\"launches\":{},\"blocks\":{},\"threads\":{},\"barriers\":{},\"shared_bytes\":{},",
            k.launches, k.blocks, k.threads, k.barriers, k.shared_bytes
        );
        k.all.json(&mut out);
        out.push_str(",\"global_memory\":{");
        for (name, t) in [("\"load\"", k.traffic[0]), (",\"store\"", k.traffic[1])] {
            let _ = write!(
                out,
                "{name}:{{\"bytes_requested\":{},\"sectors\":{},\"sectors_coalesced\":{},\"bytes_distinct\":{}}}",
                t.requested, t.sectors, t.ideal, t.distinct
            );
        }
        out.push('}');
        banks_json(&mut out, &k.banks);
        out.push_str(",\"main_loop\":");
        match k.main_lines {
            None => out.push_str("null"),
            Some((first, last)) => {
                let _ = write!(out, "{{\"first_line\":{first},\"last_line\":{last},");
                k.main_loop.json(&mut out);
                banks_json(&mut out, &k.main_banks);
                out.push('}');
            }
        }
        out.push('}');
    }
    out.push('}');
    out
}

/// A memory instruction's shape, for those that are no plain load or store.
pub(crate) fn shape(space: MemSpace, bytes: u8) -> Mem {
    Mem { space, bytes, vec: 1, signed: false, wide: false, addr64: true, order: Order::Weak }
}
