//! Which kernels of a step wait for which: those whose numbers they need.
//!
//! A kernel's declaration says what it does with a pointer: `const float*` is read, `float*` is written. Two kernels that
//! write one tensor, or of which one writes what the other reads, run in the order in which they were asked for. All others
//! may run side by side. A tensor is here what was allocated at once: kernels that use different parts of it wait for each
//! other without need, which costs time and is never wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The device's allocations: first address and length.
#[derive(Default)]
pub(super) struct Allocations(Mutex<Places>);

#[derive(Default)]
pub(super) struct Places {
    bytes: BTreeMap<u64, u64>,
    /// How often something was allocated or freed.
    changes: u64,
}

impl Allocations {
    pub(super) fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // an entry is there or not
    }
}

impl Places {
    pub(super) fn add(&mut self, at: u64, bytes: usize) {
        self.bytes.insert(at, bytes as u64);
        self.changes += 1;
    }

    pub(super) fn remove(&mut self, at: u64) {
        self.bytes.remove(&at);
        self.changes += 1;
    }

    /// While this number stays, so does what `tensor` says.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The tensor that an address belongs to. An address that is nobody's gets number 0, which all of its kind share.
    pub(super) fn tensor(&self, at: u64) -> u64 {
        let before = self.bytes.range(..=at).next_back();
        before.filter(|&(&first, &bytes)| at < first + bytes).map_or(0, |(&first, _)| first)
    }
}

/// Who used a tensor last.
#[derive(Default)]
struct Last {
    writer: Option<usize>,
    /// Those that read what the writer wrote.
    readers: Vec<usize>,
}

/// For each kernel, given as the tensors that it uses and whether it writes them, those that it waits for. Whoever is waited
/// for anyway, by one of them, is not among them.
pub(super) fn waits(kernels: impl Iterator<Item = Vec<(u64, bool)>>) -> Vec<Vec<usize>> {
    let mut used = HashMap::<u64, Last>::new();
    let mut before: Vec<Vec<bool>> = Vec::new(); // of each kernel: who is done when it starts
    let mut all = Vec::new();
    for (i, tensors) in kernels.enumerate() {
        let mut wanted = Vec::new();
        for &(tensor, writes) in &tensors {
            let last = used.entry(tensor).or_default();
            wanted.extend(last.writer);
            if writes {
                wanted.extend(&last.readers);
            }
        }
        for &(tensor, writes) in &tensors {
            let last = used.entry(tensor).or_default();
            match writes {
                true => *last = Last { writer: Some(i), readers: Vec::new() },
                false if last.writer != Some(i) => last.readers.push(i),
                false => {}
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let (mut done, mut waits) = (vec![false; i], Vec::new());
        for &j in wanted.iter().rev() {
            if !done[j] {
                waits.push(j);
                done[j] = true;
                (0..j).for_each(|k| done[k] |= before[j][k]);
            }
        }
        before.push(done);
        all.push(waits);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn readers_run_side_by_side_and_writers_wait() {
        const R: bool = false;
        const W: bool = true;
        let step = [
            vec![(1, R), (2, W)],         // 0: y = f(x)
            vec![(2, R), (3, W)],         // 1: dW from y
            vec![(2, R), (4, W)],         // 2: dx from y
            vec![(3, R), (5, W), (5, R)], // 3: W moves; named twice
            vec![(2, W)],                 // 4: y again: waits for its readers, and so for its writer
            vec![(4, R), (6, W)],         // 5
            vec![(9, R)],                 // 6: nobody's
        ];
        let want: [&[usize]; 7] = [&[], &[0], &[0], &[1], &[2, 1], &[2], &[]];
        assert_eq!(waits(step.into_iter()), want);
    }

    /// Kernels that meet in a tensor which one of them writes are in order, directly or through others.
    #[test]
    fn whatever_meets_is_in_order() {
        let mut rng = Rng::new(7, 0);
        for _ in 0..200 {
            let step: Vec<Vec<(u64, bool)>> = (0..30)
                .map(|_| (0..1 + rng.below(3)).map(|_| (rng.below(8), rng.below(3) == 0)).collect())
                .collect();
            let waits = waits(step.iter().cloned());
            let mut before = vec![[false; 30]; 30];
            for i in 0..30 {
                for &j in &waits[i] {
                    assert!(j < i);
                    before[i][j] = true;
                    (0..30).for_each(|k| before[i][k] |= before[j][k]);
                }
                for j in 0..i {
                    let meet = |a: &(u64, bool), b: &(u64, bool)| a.0 == b.0 && (a.1 || b.1);
                    let must = step[i].iter().any(|a| step[j].iter().any(|b| meet(a, b)));
                    assert!(before[i][j] || !must, "{i} does not wait for {j}: {step:?}");
                }
            }
        }
    }

    #[test]
    fn an_address_is_its_tensors() {
        let mut places = Places::default();
        places.add(4096, 100);
        places.add(8192, 8);
        for (at, tensor) in [(4095, 0), (4096, 4096), (4195, 4096), (4196, 0), (8199, 8192), (8200, 0)] {
            assert_eq!(places.tensor(at), tensor, "{at}");
        }
        let before = places.changes();
        places.remove(4096);
        assert!(places.tensor(4096) == 0 && places.changes() != before);
    }
}
