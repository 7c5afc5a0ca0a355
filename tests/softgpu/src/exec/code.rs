//! A kernel ready to run: instructions whose operands are places in a warp's register file.

use std::sync::Arc;

use super::ops::Op;
use crate::memory::Allocation;

/// A cold operation of up to four operands, of any width, lane by lane.
pub(crate) type Scalar = Box<dyn Fn([u64; 4]) -> u64 + Send + Sync>;

/// One instruction. Operands are byte offsets into the register file: predicates are a `u32` of lane bits,
/// registers of up to 32 bits a line of 32 `u32`, those of 64 bits two lines. Constants and special registers have
/// lines as well, filled when a warp is set up, so that no operand ever needs to be told apart.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Inst {
    pub op: Op,
    pub nd: u8,
    pub nu: u8,
    /// Guard: place of the predicate, and all ones if it is negated.
    pub guard: u32,
    pub guard_not: u32,
    pub d: u32,
    pub a: u32,
    pub b: u32,
    pub c: u32,
    /// Where all operands are listed in the pool, results first.
    pub p: u32,
    /// Branch target, or index of what the operation needs besides.
    pub x: u32,
    pub imm: i64,
}

/// What reports and counters want to know of an instruction.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub line: u32,
    pub loc: Option<(u32, u32)>,
    pub class: Class,
    /// First of those that one PTX instruction became.
    pub first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Fma,
    F32,
    F64,
    Integer,
    Select,
    Convert,
    Special,
    GlobalLoad,
    GlobalStore,
    SharedLoad,
    SharedStore,
    Local,
    Param,
    Atomic,
    Barrier,
    Shuffle,
    Tensor,
    AsyncCopy,
    Branch,
    Other,
}

impl Class {
    pub(crate) const ALL: [(Class, &'static str); 20] = [
        (Class::Fma, "fma_f32"),
        (Class::F32, "other_f32"),
        (Class::F64, "f64"),
        (Class::Integer, "integer"),
        (Class::Select, "compare_select_move"),
        (Class::Convert, "conversion"),
        (Class::Special, "special_function"),
        (Class::GlobalLoad, "global_load"),
        (Class::GlobalStore, "global_store"),
        (Class::SharedLoad, "shared_load"),
        (Class::SharedStore, "shared_store"),
        (Class::Local, "local"),
        (Class::Param, "constant_param"),
        (Class::Atomic, "atomic"),
        (Class::Barrier, "barrier"),
        (Class::Shuffle, "shuffle"),
        (Class::Tensor, "tensor_core"),
        (Class::AsyncCopy, "async_copy"),
        (Class::Branch, "branch"),
        (Class::Other, "other"),
    ];
}

/// State space of a memory instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemSpace {
    Generic,
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// How a memory instruction takes part in synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Weak,
    /// volatile, relaxed, acquire, release
    Sync,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Mem {
    pub space: MemSpace,
    /// Bytes of an element.
    pub bytes: u8,
    /// Elements of a lane's access.
    pub vec: u8,
    pub signed: bool,
    /// The registers are 64 bits wide.
    pub wide: bool,
    pub addr64: bool,
    pub order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtomOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exch,
    Cas,
    Inc,
    Dec,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtomTy {
    U32,
    S32,
    U64,
    S64,
    F32,
    F64,
    F16x2,
    Bf16x2,
    F16,
    Bf16,
    B16,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Atom {
    pub op: AtomOp,
    pub ty: AtomTy,
    pub space: MemSpace,
    pub addr64: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MmaKind {
    Tf32,
    F16,
    Bf16,
    /// f16 accumulators
    F16F16,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Mma {
    pub kind: MmaKind,
    pub k: u8,
}

/// Special registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NwarpId,
    SmId,
    NsmId,
    GridId,
    LaneMaskEq,
    LaneMaskLe,
    LaneMaskLt,
    LaneMaskGe,
    LaneMaskGt,
    DynamicShared,
    TotalShared,
    /// Address of `.extern .shared`.
    DynamicSharedBase,
    /// Bytes of a kernel parameter: offset, bytes, sign extension.
    Param(u32, u8, bool),
    Zero,
}

/// A named range of shared or local memory.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub name: String,
    pub start: u32,
    pub size: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct ParamInfo {
    pub offset: u32,
    pub size: u32,
}

/// A kernel.
pub(crate) struct Code {
    pub name: String,
    pub insts: Vec<Inst>,
    pub infos: Vec<Info>,
    pub pool: Vec<u32>,
    pub scalars: Vec<(Scalar, [bool; 4], bool)>,
    pub mems: Vec<Mem>,
    pub atoms: Vec<Atom>,
    pub mmas: Vec<Mma>,
    pub tables: Vec<Vec<u32>>,
    pub texts: Vec<String>,
    /// Bytes of a warp's register file.
    pub file_bytes: usize,
    /// place, value, 64 bits, predicate
    pub consts: Vec<(u32, u64, bool, bool)>,
    pub specials: Vec<(u32, Special, bool)>,
    /// 256 bytes for results of partly active warps.
    pub scratch: u32,
    /// Bit masks of registers' lanes that were written, cleared at a warp's start.
    pub valid: (u32, u32),
    pub shared_vars: Vec<Region>,
    /// Shared bytes as a compiler lays them out, without the gaps.
    pub shared_packed: u32,
    /// Shared bytes with a gap behind each variable.
    pub shared_placed: u32,
    pub uses_dynamic: bool,
    pub local_vars: Vec<Region>,
    pub local_bytes: u32,
    pub params: Vec<ParamInfo>,
    pub param_bytes: u32,
    pub max_threads: Option<u32>,
    pub required_threads: Option<[u32; 3]>,
    pub registers: u32,
    pub source: Arc<Source>,
    /// Keeps the module's variables alive.
    pub _variables: Vec<Arc<Allocation>>,
    pub has_loop: bool,
}

/// The module's text, for reports.
pub(crate) struct Source {
    pub lines: Vec<String>,
    pub files: Vec<(u32, String)>,
}

impl Source {
    pub(crate) fn line(&self, n: u32) -> &str {
        self.lines.get(n as usize - 1).map_or("", |l| l.trim())
    }

    pub(crate) fn file(&self, n: u32) -> &str {
        self.files.iter().find(|f| f.0 == n).map_or("?", |f| f.1.as_str())
    }
}
