//! Loops for ever, and so shows that a CPU limit holds and that the neighbours do not notice.

fn main() {
    println!("spinning");
    let mut x = 0_u64;
    loop {
        x = std::hint::black_box(x.wrapping_add(1));
    }
}
