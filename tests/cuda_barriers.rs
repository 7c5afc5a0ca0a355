//! Every `__syncthreads` of every kernel is needed: with any one of them deleted, the software GPU stops the kernel.
//!
//! Fails if a barrier is superfluous, if no exercise reaches it, or if the software GPU has become blind for races. In a
//! process of its own, since a context in which a kernel failed is lost, as on hardware.
#![cfg(feature = "cuda")]

#[path = "support/gpu.rs"]
#[allow(dead_code, unreachable_pub)]
mod gpu;

use handgrad::cuda::{Cuda, Size, Software, Sources, exercises, kernel_files};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const BARRIER: &str = "__syncthreads();";

/// A file's text without its barrier at byte `at`, and where that is: the file and line that the `#line` marks tell.
fn without(source: &str, at: usize) -> (String, String) {
    let text = format!("{}{}{}", &source[..at], " ".repeat(BARRIER.len()), &source[at + BARRIER.len()..]);
    let (mut file, mut line) = (String::new(), 0);
    for l in source[..at].lines() {
        match l.strip_prefix("#line ").and_then(|l| l.split_once(" \"")) {
            Some((number, name)) => {
                file = name.trim_end_matches('"').to_string();
                line = number.parse::<usize>().unwrap() - 1;
            }
            None => line += 1,
        }
    }
    let partial = !source[..at].ends_with('\n');
    (text, format!("{file}:{}", line + usize::from(!partial)))
}

/// Which exercises launch kernels of which file. Together they leave no kernel out.
fn exercises_by_file(soft: &Software) -> BTreeMap<&'static str, BTreeSet<usize>> {
    let cuda = Arc::new(Cuda::new(0).unwrap());
    gpu::set(soft, "counters", "1");
    let (mut by_file, mut seen) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeSet::new());
    for (number, exercise) in exercises(&cuda, Size::Small).unwrap().iter_mut().enumerate() {
        soft.reset();
        exercise.run().unwrap_or_else(|e| panic!("{}: {e}", exercise.name));
        cuda.synchronize().unwrap();
        let counters = gpu::counters(soft);
        for file in kernel_files() {
            for kernel in file.kernels.iter().filter(|k| counters.get(k).is_some()) {
                by_file.entry(file.name).or_default().insert(number);
                seen.insert(*kernel);
            }
        }
    }
    gpu::set(soft, "counters", "0");
    // And once more with the warps last to first: every kernel runs in two orders.
    gpu::set(soft, "order", "reverse");
    for exercise in &mut exercises(&cuda, Size::Small).unwrap() {
        exercise.run().unwrap_or_else(|e| panic!("{}, last warp first: {e}", exercise.name));
    }
    cuda.synchronize().unwrap();
    gpu::set(soft, "order", "forward");
    let all = kernel_files().iter().filter(|f| f.needs <= cuda.facts().architecture).flat_map(|f| f.kernels);
    let left: Vec<_> = all.filter(|k| !seen.contains(*k)).collect();
    assert!(left.is_empty(), "no exercise for {left:?}");
    by_file
}

/// One test: the settings of the software GPU, and its errors, are the whole process's.
#[test]
fn every_barrier_is_needed() {
    let Some(soft) = gpu::software() else { return };
    gpu::set(&soft, "quiet", "1");
    let by_file = exercises_by_file(&soft);
    // By place: whether deleting it was noticed in some file that includes it.
    let mut noticed = BTreeMap::<String, bool>::new();
    for file in kernel_files() {
        for (at, _) in file.source.match_indices(BARRIER) {
            let (text, place) = without(file.source, at);
            let own = place.starts_with(&format!("kernels/{}.cu:", file.name));
            if !own && noticed.get(&place) == Some(&true) {
                continue;
            }
            let cuda =
                Arc::new(Cuda::with_sources(0, Sources::from([(file.name.to_string(), text)])).unwrap());
            soft.clear_report();
            let mine: Vec<_> = by_file.get(file.name).into_iter().flatten().copied().collect();
            // Preparing an exercise may already use what the text has lost.
            let caught = exercises(&cuda, Size::Small).map_or(true, |mut all| {
                mine.into_iter().any(|e| all[e].run().and_then(|()| cuda.synchronize()).is_err())
            });
            assert!(!caught || !soft.report().is_empty(), "{place}: an error without a report");
            *noticed.entry(place).or_default() |= caught;
        }
    }
    assert!(noticed.len() > 10, "{noticed:?}");
    let missed: Vec<_> = noticed.iter().filter(|(_, caught)| !**caught).map(|(place, _)| place).collect();
    println!("{} barriers", noticed.len());
    assert!(missed.is_empty(), "{} of {} can be deleted unnoticed: {missed:#?}", missed.len(), noticed.len());
}
