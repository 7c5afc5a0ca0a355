//! Batches without the columns that are 0 in all of their samples.

use std::ops::Range;

/// Which columns of a batch [in blocks](crate::View::in_blocks) there are: those that are not 0 in all samples, or all.
#[derive(Clone, Debug, Default)]
pub struct LiveColumns {
    /// As long as a sample. A block's live columns, ascending, from where it begins; behind them [`NONE`](Self::NONE).
    columns: Vec<u32>,
}

impl LiveColumns {
    /// Stands where no column is.
    pub(crate) const NONE: u32 = u32::MAX;

    /// All columns of samples of `width` numbers, as one block.
    #[cfg(test)]
    pub(crate) fn all(width: usize) -> LiveColumns {
        LiveColumns { columns: (0..width as u32).collect() }
    }

    /// How many columns there are, live or not.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Those of the block of columns `block`.
    pub(crate) fn of_block(&self, block: Range<usize>) -> &[u32] {
        let columns = &self.columns[block];
        &columns[..columns.partition_point(|&c| c != LiveColumns::NONE)]
    }

    /// The list for samples of `width` columns, to be written block by block.
    pub(crate) fn of_width(&mut self, width: usize) -> &mut [u32] {
        self.columns.resize(width, LiveColumns::NONE);
        &mut self.columns
    }
}
