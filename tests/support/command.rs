//! The `handgrad` command, in an environment that says nothing about how it should speak or where its data are.

use std::ffi::OsStr;
use std::process::Command;

/// What a developer may have set, and what changes what the command says or finds. `HANDGRAD_ISA` and
/// `HANDGRAD_FASHION_MNIST` stay: whoever sets them wants the tests to see them.
const SETTINGS: [&str; 12] = [
    "HANDGRAD_LANG",
    "LC_ALL",
    "LC_MESSAGES",
    "LANG",
    "HANDGRAD_DATA",
    "HANDGRAD_CUDA_DRIVER",
    "HANDGRAD_NVRTC",
    "HANDGRAD_KERNELS",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLUMNS",
];

/// `handgrad` with these arguments.
pub(crate) fn handgrad(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handgrad"));
    command.args(arguments);
    SETTINGS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}
