//! Makes a symbolic link in its volume: `NAME` in the first mounted directory, which leads to `TARGET`.
//!
//! A guest may write any relative target into a link; following it out of the volume is what the host must not do.

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn path_symlink(target: *const u8, target_len: usize, dir: i32, name: *const u8, name_len: usize) -> i32;
}

/// The first directory that is mounted.
const FIRST_MOUNT: i32 = 3;

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (name, target) = (variable("NAME"), variable("TARGET"));
    // SAFETY: both texts live until the call has returned.
    let error = unsafe { path_symlink(target.as_ptr(), target.len(), FIRST_MOUNT, name.as_ptr(), name.len()) };
    println!("{name} -> {target}: {error}");
    std::process::exit(error);
}
