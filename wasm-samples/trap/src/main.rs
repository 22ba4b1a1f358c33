//! Divides by zero, three calls deep, and so shows what a trap looks like in a container's state.

fn main() {
    println!("about to fail");
    let divisor = std::env::args().count() as i32 - 1;
    println!("{}", outer(std::hint::black_box(divisor.min(0))));
}

#[inline(never)]
fn outer(divisor: i32) -> i32 {
    std::hint::black_box(divide(7, divisor)) + 1
}

#[inline(never)]
fn divide(dividend: i32, divisor: i32) -> i32 {
    if divisor == 0 {
        core::arch::wasm32::unreachable();
    }
    dividend / divisor
}
