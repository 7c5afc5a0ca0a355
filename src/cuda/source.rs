//! Reads CUDA source as text: inlines the shared header, finds the kernels and their parameters.
//!
//! `build.rs` includes this file to generate the table of handles; the library uses it again for kernels that are read
//! from a folder at run time, and for what it tells about them.

/// Puts the text of `header` in place of `#include "common.cuh"`, with `#line` marks on both sides, so that a compiler's
/// messages name the real files and lines.
pub(crate) fn inline_header(name: &str, source: &str, header: &str) -> String {
    let mut text = format!("#line 1 \"kernels/{name}.cu\"\n");
    for (number, line) in source.lines().enumerate() {
        if line.trim() == "#include \"common.cuh\"" {
            text += "#line 1 \"kernels/common.cuh\"\n";
            text += &header.replace("#pragma once", "");
            text += &format!("\n#line {} \"kernels/{name}.cu\"\n", number + 2);
        } else {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// The oldest architecture that a file claims: the number in its line `// needs: sm_80`, or 75.
pub(crate) fn needs(source: &str) -> u32 {
    let claim = source.lines().find_map(|line| line.strip_prefix("// needs: sm_"));
    claim.and_then(|n| n.trim().parse().ok()).unwrap_or(75)
}

/// A kernel's name and its parameters: their types in C, without `const` and `__restrict__`, and their names.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) parameters: Vec<(String, String)>,
}

/// All kernels of a source: everything that is declared `extern "C" __global__ void`.
pub(crate) fn entries(source: &str) -> Vec<Entry> {
    // Comments may show a declaration without being one.
    let code: String =
        source.lines().map(|l| l.split("//").next().unwrap_or("").to_string() + "\n").collect();
    let mut found = Vec::new();
    for declaration in code.split("extern \"C\" __global__ void").skip(1) {
        let mut rest = declaration.trim_start();
        if let Some(bounds) = rest.strip_prefix("__launch_bounds__") {
            rest = bounds.split_once(')').map_or("", |(_, after)| after).trim_start();
        }
        let (Some((name, rest)), true) = (rest.split_once('('), !rest.is_empty()) else { continue };
        let list = rest.split(')').next().unwrap_or("");
        let parameters = list.split(',').filter(|p| !p.trim().is_empty()).map(parameter).collect();
        found.push(Entry { name: name.trim().to_string(), parameters });
    }
    found
}

/// `const float* __restrict__ x` is `("float*", "x")`.
fn parameter(text: &str) -> (String, String) {
    let text = text.replace("__restrict__", " ").replace("const ", " ").replace('*', "* ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (name, kind) = words.split_last().map_or(("", &[][..]), |(name, kind)| (*name, kind));
    (kind.join(" ").replace(" *", "*"), name.to_string())
}
