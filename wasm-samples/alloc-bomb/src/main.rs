//! Asks for memory until it gets none, and so shows that a memory limit holds.

fn main() {
    let mut kept = Vec::new();
    println!("taking memory");
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}
