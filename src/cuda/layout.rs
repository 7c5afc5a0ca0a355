//! How blocks lie over the rows and columns of a matrix; `Lanes`, `Block` and `Column` of common.cuh are the other half.

use super::stream::Grid;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// The largest extent: a kernel that counts on from there by its step still has an `int`.
const LARGEST: usize = 1 << 30;

/// An extent as kernels take it.
pub(super) fn int(op: &'static str, n: usize) -> Result<i32> {
    match n <= LARGEST {
        true => Ok(n as i32),
        false => Err(Error::op(op, format!("{n} is more than a kernel can count"))),
    }
}

/// The rows and columns of a shape as kernels take them.
pub(super) fn matrix(op: &'static str, shape: Shape) -> Result<(i32, i32)> {
    let (rows, cols) = shape.as_matrix();
    Ok((int(op, rows)?, int(op, cols)?))
}

/// Who shares a row.
pub(super) enum Rows {
    /// That many lanes of a warp.
    Short(Grid, i32),
    /// A block.
    Long(Grid),
}

/// A warp holds 16 numbers a lane in its registers.
const SHORT: usize = 16 * 32;

/// For kernels that come as `..._short` and `..._long`. There must be rows and columns.
pub(super) fn rows(rows: i32, cols: i32) -> Rows {
    if cols as usize > SHORT {
        return Rows::Long(Grid::new([rows as u32, 1, 1], [512, 1, 1]));
    }
    let (grid, width) = lanes(rows, cols);
    Rows::Short(grid, width)
}

/// For kernels whose rows are shared by lanes of a warp, however long they are: how many lanes.
pub(super) fn lanes(rows: i32, cols: i32) -> (Grid, i32) {
    const THREADS: u32 = 128;
    let width = (cols as u32).next_power_of_two().min(32);
    (Grid::new([(rows as u32).div_ceil(THREADS / width), 1, 1], [THREADS, 1, 1]), width as i32)
}

/// For kernels that copy rows: `width` threads of a block of 256 copy one, and more rows after it.
pub(super) fn copies(rows: usize, cols: usize) -> (Grid, i32) {
    let width = cols.next_power_of_two().min(Grid::BLOCK as usize);
    let blocks = rows.div_ceil(Grid::BLOCK as usize / width).clamp(1, 4096);
    (Grid::new([blocks as u32, 1, 1], [Grid::BLOCK, 1, 1]), width as i32)
}

/// How blocks of 256 threads lie over columns.
pub(super) struct Columns {
    pub(super) grid: Grid,
    /// Threads side by side, each with a column of its own.
    pub(super) width: i32,
    /// Rows of one block.
    pub(super) chunk: i32,
    /// Blocks above one another.
    pub(super) chunks: i32,
}

/// Rows that a thread walks down at least: what a block reads once for all of its rows is little beside them.
const WALK: usize = 16;
/// Blocks at most, unless columns need more: as many as fill the largest GPU.
const BLOCKS: usize = 512;

/// In chunks of rows, as many as keep the device busy. It depends on the shape alone, and so do the sums' bits.
pub(super) fn columns(rows: i32, cols: i32) -> Columns {
    let (rows, side) = (rows as usize, (cols as usize).next_power_of_two().min(32));
    let groups = (cols as usize).div_ceil(side);
    let chunk = (256 / side * WALK).max(rows.div_ceil((BLOCKS / groups).max(1)));
    over_columns(cols, chunk.min(rows), rows.div_ceil(chunk))
}

/// All rows in one chunk.
pub(super) fn whole_columns(rows: i32, cols: i32) -> Columns {
    over_columns(cols, rows as usize, 1)
}

fn over_columns(cols: i32, chunk: usize, chunks: usize) -> Columns {
    let width = (cols as u32).next_power_of_two().min(32);
    let grid = Grid::new([(cols as u32).div_ceil(width), chunks as u32, 1], [Grid::BLOCK, 1, 1]);
    Columns { grid, width: width as i32, chunk: chunk as i32, chunks: chunks as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENTS: [i32; 12] = [1, 2, 3, 10, 31, 32, 33, 512, 513, 4097, 100_003, 1 << 30];

    /// Fails if a row or a column were left out or taken twice, or if a grid were larger than a device takes.
    #[test]
    fn everything_is_covered_once() {
        for r in EXTENTS {
            for c in EXTENTS {
                let (rows_there, cols_there) = (r as usize, c as usize);
                let fits = |g: Grid| g.blocks[0] <= i32::MAX as u32 && g.blocks[1] <= 65_535;
                for Columns { grid, width, chunk, chunks } in [columns(r, c), whole_columns(r, c)] {
                    assert!(fits(grid) && width.count_ones() == 1 && width <= 32);
                    let groups = grid.blocks[0] as usize;
                    assert!(
                        (groups - 1) * (width as usize) < cols_there && groups * width as usize >= cols_there
                    );
                    assert_eq!(grid.blocks[1], chunks as u32);
                    let (chunk, chunks) = (chunk as usize, chunks as usize);
                    assert!((chunks - 1) * chunk < rows_there && chunks * chunk >= rows_there, "{r} {c}");
                }
                let (grid, width) = lanes(r, c);
                let per_block = 128 / width as usize;
                assert!(fits(grid) && width.count_ones() == 1 && width <= 32);
                assert_eq!(grid.blocks[0] as usize, rows_there.div_ceil(per_block));
                assert!(matches!(rows(r, c), Rows::Short(g, w) if g == grid && w == width) == (c <= 512));
            }
        }
        assert!(int("test", 1 << 30).is_ok() && int("test", (1 << 30) + 1).is_err());
    }
}
