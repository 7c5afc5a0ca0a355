//! Reads CUDA source as text: inlines the headers, finds the kernels and their parameters.
//!
//! `build.rs` includes this file to generate the table of handles; the library uses it again for kernels that are read
//! from a folder at run time, and for what it tells about them.

/// Puts headers in the place of `#include "name.cuh"`, each once, with `#line` marks on both sides, so that a compiler's
/// messages name the real files and lines. `read` gives the text of a file of the folder `kernels`.
pub(crate) fn inline_headers<E>(file: &str, read: &dyn Fn(&str) -> Result<String, E>) -> Result<String, E> {
    let mut text = String::new();
    inline_file(file, read, &mut Vec::new(), &mut text)?;
    Ok(text)
}

fn inline_file<E>(
    file: &str,
    read: &dyn Fn(&str) -> Result<String, E>,
    seen: &mut Vec<String>,
    text: &mut String,
) -> Result<(), E> {
    *text += &format!("#line 1 \"kernels/{file}\"\n");
    for (number, line) in read(file)?.lines().enumerate() {
        let header = line.trim().strip_prefix("#include \"").and_then(|l| l.strip_suffix('"'));
        match header {
            Some(header) => {
                if !seen.iter().any(|s| s == header) {
                    seen.push(header.to_string());
                    inline_file(header, read, seen, text)?;
                }
                *text += &format!("#line {} \"kernels/{file}\"\n", number + 2);
            }
            None if line.trim() == "#pragma once" => text.push('\n'),
            None => {
                *text += line;
                text.push('\n');
            }
        }
    }
    Ok(())
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

/// The kernels that declare how many threads their blocks have at most, with that number.
#[allow(dead_code)] // build.rs has no use for it
pub(crate) fn launch_bounds(source: &str) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for declaration in source.split("extern \"C\" __global__ void").skip(1) {
        let Some(rest) = declaration.trim_start().strip_prefix("__launch_bounds__(") else { continue };
        let Some((bounds, rest)) = rest.split_once(')') else { continue };
        let threads = bounds.split(',').next().and_then(|n| n.trim().parse().ok());
        let name = rest.split('(').next().unwrap_or("").trim().to_string();
        found.extend(threads.map(|threads| (name, threads)));
    }
    found
}
