//! The programs of upstream's `agnhost` that the conformance suite starts, as one guest: `agnhost COMMAND FLAGS…`. Its image has a
//! shell as well.

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.first().is_some_and(|name| busybox::is_shell(name)) {
        std::process::exit(busybox::main(arguments));
    }
    servers::agnhost::main(arguments);
}
