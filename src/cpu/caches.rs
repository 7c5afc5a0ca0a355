//! What processor this is: its name, and how large its caches are.
//!
//! | where from | when |
//! |---|---|
//! | `/sys/devices/system/cpu/cpu0/cache` | Linux, unless a container hides it |
//! | `cpuid`, leaf 4 (Intel) or 8000001D (AMD) | x86-64 without that folder |
//! | [`Caches::DEFAULT`] | elsewhere |
//!
//! Sizes are those of one core for L1 and L2. A virtual machine may show the last cache of the whole chip, and give the
//! program a share of it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// How many bytes of data the caches hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// The first, of one core: data, not instructions.
    pub l1: usize,
    /// The second, of one core or of a few.
    pub l2: usize,
    /// The third, which cores share; 0 if there is none.
    pub l3: usize,
}

impl Caches {
    /// Where nothing can be asked: what small processors of the last ten years have at least.
    pub const DEFAULT: Caches = Caches { l1: 32 << 10, l2: 512 << 10, l3: 4 << 20 };

    /// Bytes of the last cache.
    pub fn last(&self) -> usize {
        if self.l3 > 0 { self.l3 } else { self.l2 }
    }

    /// From levels and sizes, largest of each level; `None` without a first and a second level.
    fn of_levels(levels: impl IntoIterator<Item = (u32, usize)>) -> Option<Caches> {
        let mut sizes = [0; 3];
        for (level, size) in levels {
            if let Some(known) = sizes.get_mut((level as usize).wrapping_sub(1)) {
                *known = size.max(*known);
            }
        }
        let [l1, l2, l3] = sizes;
        (l1 > 0 && l2 > 0).then_some(Caches { l1, l2, l3 })
    }

    /// As Linux describes them, one folder for each: `index0/level`, `index0/type`, `index0/size`.
    fn of_folder(folder: &Path) -> Option<Caches> {
        let level_and_size = |index: &Path| {
            let read = |name: &str| fs::read_to_string(index.join(name)).ok();
            let holds_data = matches!(read("type")?.trim(), "Data" | "Unified");
            holds_data.then_some((read("level")?.trim().parse().ok()?, bytes(read("size")?.trim())?))
        };
        let indices = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
        Caches::of_levels(indices.filter_map(|index| level_and_size(&index)))
    }
}

/// The caches of the first core. Asked once.
///
/// ```
/// let caches = handgrad::cpu::caches();
/// assert!(caches.l1 > 0 && caches.l2 > 0 && caches.last() >= caches.l2.min(caches.l3));
/// ```
pub fn caches() -> Caches {
    static FOUND: OnceLock<Caches> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let linux = Caches::of_folder(Path::new("/sys/devices/system/cpu/cpu0/cache"));
        linux.or_else(of_cpuid).unwrap_or(Caches::DEFAULT)
    })
}

/// The processor's name as its maker gives it, or else its architecture: `AMD EPYC 9B14`, `aarch64`.
pub fn processor() -> String {
    brand().or_else(|| model_name(&fs::read_to_string("/proc/cpuinfo").ok()?)).unwrap_or_else(|| {
        std::env::consts::ARCH.to_string() // macOS on ARM, Windows on ARM
    })
}

/// The line `model name` of Linux's `/proc/cpuinfo`.
fn model_name(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|l| l.to_lowercase().starts_with("model name"))?;
    let name = line.split_once(':')?.1.trim();
    (!name.is_empty()).then(|| name.to_string())
}

/// `32K`, `1M` or `123` as bytes.
fn bytes(size: &str) -> Option<usize> {
    let (number, unit) = match size.strip_suffix(['K', 'M', 'G']) {
        Some(number) if size.ends_with('K') => (number, 1 << 10),
        Some(number) if size.ends_with('M') => (number, 1 << 20),
        Some(number) => (number, 1 << 30),
        None => (size, 1),
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

/// EAX, EBX, ECX and EDX of a leaf, if the processor has it.
#[cfg(target_arch = "x86_64")]
fn leaf(number: u32, part: u32) -> Option<[u32; 4]> {
    use std::arch::x86_64::__cpuid_count;
    #[allow(unused_unsafe)] // later compilers know that it is safe
    let ask = |number, part| {
        // SAFETY: every x86-64 processor has the instruction, and it only writes these registers.
        unsafe { __cpuid_count(number, part) }
    };
    let last = ask(number & 0x8000_0000, 0).eax;
    let r = ask(number, part);
    (number <= last).then_some([r.eax, r.ebx, r.ecx, r.edx])
}

#[cfg(target_arch = "x86_64")]
fn of_cpuid() -> Option<Caches> {
    let describe = |number| {
        let parts = (0..8).map_while(move |part| leaf(number, part).filter(|[a, ..]| a & 31 != 0));
        let data = parts.filter(|[a, ..]| matches!(a & 31, 1 | 3)); // 2: instructions
        Caches::of_levels(data.map(|[a, b, c, _]| {
            let (line, groups, ways) = ((b & 0xfff) + 1, (b >> 12 & 0x3ff) + 1, (b >> 22) + 1);
            ((a >> 5) & 7, line as usize * groups as usize * ways as usize * (c as usize + 1))
        }))
    };
    describe(4).or_else(|| describe(0x8000_001d))
}

#[cfg(not(target_arch = "x86_64"))]
fn of_cpuid() -> Option<Caches> {
    None
}

#[cfg(target_arch = "x86_64")]
fn brand() -> Option<String> {
    let mut name = Vec::new();
    for number in 0x8000_0002..=0x8000_0004 {
        name.extend(leaf(number, 0)?.into_iter().flat_map(u32::to_le_bytes));
    }
    let name: Vec<&str> =
        std::str::from_utf8(&name).ok()?.trim_end_matches('\0').split_whitespace().collect();
    (!name.is_empty()).then(|| name.join(" "))
}

#[cfg(not(target_arch = "x86_64"))]
fn brand() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [("32K", 32 << 10), ("4M", 4 << 20), ("1G", 1 << 30), ("96", 96)] {
            assert_eq!(bytes(text), Some(size));
        }
        assert_eq!((bytes("K"), bytes("many"), bytes("")), (None, None, None));
    }

    /// Instructions are no data, and a folder that is not there says nothing.
    #[test]
    fn linux_describes_each_cache_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        for (i, (level, kind, size)) in [
            ("1", "Data", "48K"),
            ("1", "Instruction", "64K"),
            ("2", "Unified", "2048K"),
            ("3", "Unified", "30M"),
        ]
        .into_iter()
        .enumerate()
        {
            let index = folder.path().join(format!("index{i}"));
            fs::create_dir(&index).unwrap();
            for (name, text) in [("level", level), ("type", kind), ("size", size)] {
                fs::write(index.join(name), format!("{text}\n")).unwrap();
            }
        }
        let found = Caches::of_folder(folder.path());
        assert_eq!(found, Some(Caches { l1: 48 << 10, l2: 2 << 20, l3: 30 << 20 }));
        assert_eq!(Caches::of_folder(Path::new("/no/such/folder")), None);
    }

    #[test]
    fn levels_may_be_missing() {
        assert_eq!(Caches::of_levels([(1, 64), (2, 128), (7, 1)]).map(|c| c.last()), Some(128));
        assert_eq!(Caches::of_levels([(2, 128)]), None);
    }

    /// Both ways of asking agree, where both answer.
    #[test]
    fn this_machine_has_caches_and_a_name() {
        let c = caches();
        assert!(c.l1 >= 4 << 10 && c.l2 > 0, "{c:?}");
        if let Some(asked) = of_cpuid() {
            assert_eq!(asked.l1, c.l1);
        }
        assert!(!processor().is_empty());
        assert_eq!(model_name("processor : 0\nmodel name\t: A B\n"), Some("A B".into()));
        assert_eq!(model_name("processor : 0\n"), None);
    }
}
