//! Files: whole models and weights.
//!
//! | file | what |
//! |---|---|
//! | `keras/` | `.keras`, `.weights.h5` and the older `.h5`, as Keras 3 reads and writes them |
//! | `hdf5.rs` | what HDF5 is under Keras's files, kept harmless |

mod hdf5;
pub mod keras;
