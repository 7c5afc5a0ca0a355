//! Little-endian floats, as safetensors and npy keep them: 32 bits wide, or 64 from the reference device.

use crate::error::Result;
use crate::tensor::{View, ViewMut};

/// How many numbers are copied at a time.
pub(super) const CHUNK: usize = 16 << 10;

/// How many bytes a number takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Single = 4,
    Double = 8,
}

impl Width {
    /// The precision of the device that `view` lives on.
    pub(super) fn of(view: View) -> Width {
        if view.f64().is_ok() { Width::Double } else { Width::Single }
    }
}

/// What `view` holds, with all its bits.
pub(super) fn encode(view: View) -> Result<Vec<u8>> {
    Ok(match view.f64() {
        Ok(values) => encode_doubles(values),
        Err(_) => view.values()?.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
    })
}

/// 64-bit numbers.
pub(super) fn encode_doubles(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Fills `to`, which must be as long, with the numbers in `bytes`.
pub(super) fn decode(bytes: &[u8], width: Width, to: ViewMut) -> Result<()> {
    match width {
        Width::Double => to.write(&decode_doubles(bytes)),
        Width::Single => {
            let (numbers, _) = bytes.as_chunks::<4>();
            to.write_f32(&numbers.iter().map(|&b| f32::from_le_bytes(b)).collect::<Vec<_>>())
        }
    }
}

/// 64-bit numbers.
pub(super) fn decode_doubles(bytes: &[u8]) -> Vec<f64> {
    let (numbers, _) = bytes.as_chunks::<8>();
    numbers.iter().map(|&b| f64::from_le_bytes(b)).collect()
}
