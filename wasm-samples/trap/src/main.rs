//! Divides by zero, three calls deep, and so shows what a trap looks like in a container's state.

fn main() {
    println!("about to fail");
    println!("{}", outer(std::hint::black_box(0)));
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
