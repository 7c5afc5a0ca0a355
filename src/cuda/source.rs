//! Puts headers into CUDA source.
//!
//! `build.rs` includes this file for the kernels that are built in; the library uses it for those that are read from a
//! folder at run time.

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
