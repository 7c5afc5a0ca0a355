//! PTX as text: tokens, then statements. Nothing here knows what an instruction means.

pub(crate) mod lexer;
pub(crate) mod parser;

pub(crate) use parser::{Arg, Body, Function, Module, Statement, Variable, parse};

/// Why a module was rejected: the line of the PTX and what was wrong with it.
#[derive(Debug, Clone)]
pub struct PtxError {
    pub line: u32,
    pub message: String,
    /// The module asks for a newer device than the claimed one.
    pub wrong_target: bool,
}

impl PtxError {
    pub(crate) fn new(line: u32, message: impl Into<String>) -> Self {
        PtxError { line, message: message.into(), wrong_target: false }
    }
}

impl std::fmt::Display for PtxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.message)
    }
}

pub(crate) type Result<T> = std::result::Result<T, PtxError>;
