//! Arithmetic of half precision, one or two to a register.

use super::decode::Decoder;
use super::*;

impl Decoder<'_, '_, '_> {
    pub(super) fn widen_half(&mut self, a: V, ty: &str) -> V {
        let t = self.l.temp(Width::Line);
        let bf = ty == "bf16";
        self.l.emit_scalar(t, vec![a], move |v| {
            let h = v[0] as u16;
            let x = if bf { crate::exec::round::bf16_to_f32(h) } else { crate::exec::round::f16_to_f32(h) };
            u64::from(x.to_bits())
        });
        t
    }

    pub(super) fn setp_packed(&mut self, _cmp: &str, _ty: &str, _combine: Option<Op>) -> Result<()> {
        self.unknown()
    }

    pub(super) fn set_packed(&mut self, _cmp: &str, _ty: &str, _dty: &str, _combine: bool) -> Result<()> {
        self.unknown()
    }

    pub(super) fn half_arithmetic(&mut self, _ty: &str) -> Result<()> {
        self.unknown()
    }

    pub(super) fn float32x2(&mut self) -> Result<()> {
        self.unknown()
    }

    pub(super) fn convert_packed(&mut self, _from: &str, _to: &str) -> Result<()> {
        self.unknown()
    }
}
