//! Memory of the device.

use super::abi::Ptr;
use super::driver::failed;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::tensor::Memory;
use cudarc::driver::result;
use std::sync::Arc;

/// A run of 32-bit words on the device, freed when dropped.
pub(super) struct Buffer {
    stream: Arc<Stream>,
    address: u64,
    words: usize,
}

impl Buffer {
    /// `words` words of 0. None at all is no allocation: the driver refuses that.
    pub(super) fn zeros(stream: &Arc<Stream>, words: usize) -> Result<Buffer> {
        let mut buffer = Buffer { stream: stream.clone(), address: 0, words: 0 };
        if words == 0 {
            return Ok(buffer);
        }
        let bytes = words.checked_mul(4).filter(|&b| b <= isize::MAX as usize).ok_or_else(|| {
            super::driver::missing(
                format!("{words} numbers are more than any memory holds"),
                "use a smaller model",
            )
        })?;
        stream.context.bind()?;
        // SAFETY: freed once, in `drop`.
        let address = unsafe { result::malloc_sync(bytes) };
        buffer.address =
            address.map_err(|e| failed(&format!("allocate {} MB", bytes.div_ceil(1 << 20)), e))?;
        buffer.words = words;
        stream.order.lock().add(buffer.address, bytes);
        stream.clear(buffer.address, bytes)?;
        Ok(buffer)
    }

    pub(super) fn ptr(&self) -> Ptr {
        Ptr(self.address)
    }

    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// Whether the buffer belongs to that stream's device.
    pub(super) fn is_of(&self, stream: &Arc<Stream>) -> bool {
        Arc::ptr_eq(&self.stream, stream)
    }

    fn check(&self, at: usize, len: usize) -> Result<()> {
        match at.checked_add(len).is_some_and(|end| end <= self.words) {
            true => Ok(()),
            false => Err(Error::op("copy", format!("words {at} to {at} + {len} of {}", self.words))),
        }
    }
}

impl Memory for Buffer {
    fn device(&self) -> &'static str {
        "cuda"
    }

    fn read(&self, at: usize, out: &mut [u32]) -> Result<()> {
        self.check(at, out.len())?;
        self.stream.read(self.ptr().plus(at).0, bytemuck::cast_slice_mut(out))
    }

    fn write(&self, at: usize, words: &[u32]) -> Result<()> {
        self.check(at, words.len())?;
        let bytes: &[u8] = bytemuck::cast_slice(words);
        let to = self.ptr().plus(at).0;
        self.stream
            .write(to, bytes.len(), |start, piece| piece.copy_from_slice(&bytes[start..][..piece.len()]))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.words > 0 {
            // A step that is being recorded may still want the buffer. Then freeing waits for the device.
            let _ = self.stream.synchronize();
            self.stream.order.lock().remove(self.address);
            // SAFETY: allocated once, freed once; nobody has a view of it any more.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}
