//! Makes `../proto.rs` from `../onnx.proto`.

fn main() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent folder");
    let messages = protox::compile(["onnx.proto"], [folder]).expect("a correct .proto");
    let made = tempfile_dir();
    prost_build::Config::new().out_dir(&made).compile_fds(messages).expect("Rust code");
    let code = std::fs::read_to_string(made.join("onnx.rs")).expect("the code");
    let notice = "//! ONNX's messages. Generated from `onnx.proto` by `generate/`: change those, not this.\n\n";
    std::fs::write(folder.join("proto.rs"), notice.to_string() + &code).expect("proto.rs");
}

fn tempfile_dir() -> std::path::PathBuf {
    let made = std::env::temp_dir().join(format!("handgrad-onnx-proto-{}", std::process::id()));
    std::fs::create_dir_all(&made).expect("a temporary folder");
    made
}
