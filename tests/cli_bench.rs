//! `handgrad bench`: its tables, its files, its errors. Nothing here depends on how long anything takes.
#![cfg(feature = "cli")]

#[path = "support/command.rs"]
mod command;

use serde_json::Value;
use std::process::Command;

fn bench(arguments: &str) -> Command {
    let mut command = command::handgrad(["bench"]);
    command.args(arguments.split_whitespace()).env_remove("HANDGRAD_ISA");
    command
}

#[track_caller]
fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && err.is_empty(), "{:?}: {err}", output.status);
    out
}

#[track_caller]
fn fails(mut command: Command, code: i32, words: &str) {
    let output = command.output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{err}");
    assert!(err.contains(words) && output.stdout.is_empty(), "{err} should say {words}");
}

/// Every tag of an XML text is closed by its own, and what is not a tag holds no bare sign.
fn is_well_formed(xml: &str) -> bool {
    let mut open = Vec::new();
    for part in xml.split('<').skip(1) {
        let Some((tag, rest)) = part.split_once('>') else { return false };
        let name = tag.split_whitespace().next().unwrap_or("").trim_end_matches('/');
        let quotes_match = tag.matches('"').count() % 2 == 0;
        let entities =
            rest.split('&').skip(1).all(|e| e.split_once(';').is_some_and(|(name, _)| name.len() < 7));
        if !quotes_match || !entities || rest.contains('>') {
            return false;
        }
        match name.strip_prefix('/') {
            Some(name) if open.pop() != Some(name.to_string()) => return false,
            None if !tag.ends_with('/') && !tag.starts_with(['?', '!']) => open.push(name.to_string()),
            _ => (),
        }
    }
    open.is_empty()
}

#[test]
fn products_are_measured_drawn_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let (json, svg) = (folder.path().join("bench.json"), folder.path().join("roofline.svg"));
    let mut command = bench("gemm --quick --threads 2");
    command.arg("--json").arg(&json).arg("--svg").arg(&svg);
    let out = succeeds(command);
    for words in ["at best", "1 thread: ", "2 threads: ", "32×784×100", "matrixmultiply", "loop_reordered"]
    {
        assert!(out.contains(words), "{words} is missing in {out}");
    }
    assert!(!out.contains("NaN") && !out.contains("inf"), "{out}");

    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let machine = &report["machine"];
    assert!(!machine["processor"].as_str().unwrap().is_empty());
    let positive = |v: &Value| v.as_f64().is_some_and(|x| x.is_finite() && x > 0.0);
    assert!(positive(&machine["l1_bytes"]) && positive(&machine["l2_bytes"]) && machine["l3_bytes"].is_u64());
    assert_eq!(report["quick"], true);
    let floors = report["floors"].as_array().unwrap();
    assert_eq!(floors.iter().map(|f| f["threads"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    for floor in floors {
        assert!(floor["isa"].is_string() && positive(&floor["gflops"]));
        for level in ["l1", "l2", "l3", "memory"] {
            assert!(positive(&floor[format!("{level}_gigabytes_per_second")]), "{floor}");
        }
    }
    let rows = report["rows"].as_array().unwrap();
    let of = |family: &str, threads: u64| {
        rows.iter().filter(|r| r["family"] == family && r["threads"] == threads).collect::<Vec<_>>()
    };
    assert!(of("gemm", 1).len() > 10 && of("gemm", 1).len() == of("gemm", 2).len());
    assert_eq!((of("ladder", 1).len(), of("ladder", 2).len()), (5, 1));
    let numbers = ["seconds", "median_seconds", "samples", "flops", "bytes", "floor_seconds", "of_floor"];
    for row in rows {
        assert!(numbers.iter().all(|name| positive(&row[*name])) && row["bound"].is_string(), "{row}");
        assert!(row["median_seconds"].as_f64() >= row["seconds"].as_f64(), "{row}");
    }
    assert!(of("gemm", 1).iter().all(|r| positive(&r["matrixmultiply_seconds"])));

    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(is_well_formed(&svg) && svg.starts_with("<svg"), "{svg}");
    for row in rows {
        let label = format!("{} {}", row["op"].as_str().unwrap(), row["shape"].as_str().unwrap());
        assert!(svg.contains(&label), "{label} is missing in the picture");
    }
}

/// On one thread there is nothing to compare with.
#[test]
fn one_thread_is_enough() {
    let out = succeeds(bench("optimizer --quick --threads 1"));
    assert!(out.contains("adam") && !out.contains("2 threads"), "{out}");
}

#[test]
fn names_that_nobody_knows_are_usage_errors() {
    fails(bench("optimiser"), 2, "unknown family `optimiser`\n  hint: did you mean `optimizer`?");
    fails(bench("gemm --threads 0"), 2, "--threads");
    #[cfg(feature = "cuda")]
    for arguments in ["gemm --kernels", "--kernels --quick", "gemm --device none", "--filter gemm"] {
        fails(bench(arguments), 2, "--");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_found_out_before_measuring() {
    for option in ["--json", "--svg"] {
        fails(
            bench(&format!("gemm --quick {option} /no/such/folder/file")),
            1,
            "cannot write /no/such/folder/file",
        );
    }
}

#[test]
fn broken_xml_is_noticed() {
    assert!(is_well_formed("<a b=\"1\"><c/>x &amp; y</a>"));
    for broken in ["<a>", "<a></b>", "<a b=\"1></a>", "<a>&</a>", "<a", "</a>"] {
        assert!(!is_well_formed(broken), "{broken}");
    }
}
