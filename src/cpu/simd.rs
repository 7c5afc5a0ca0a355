//! Instruction sets.
use crate::error::Result;

/// An instruction set of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 16 floats in a register.
    Avx512,
    /// 8 floats in a register, with fused multiply-add.
    Avx2,
    /// Plain Rust.
    Portable,
}

impl Isa {
    pub(crate) fn choose(isa: Option<Isa>) -> Result<Isa> {
        Ok(isa.unwrap_or(Isa::Portable))
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("portable")
    }
}
