//! `busybox` as a guest of its own.

fn main() {
    std::process::exit(busybox::main(std::env::args()));
}
