//! The programs of upstream's `agnhost` that the conformance suite starts, as one guest: `agnhost COMMAND FLAGS…`.

fn main() {
    servers::agnhost::main(std::env::args().collect());
}
