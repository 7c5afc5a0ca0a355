//! Models as files.

pub mod onnx;
