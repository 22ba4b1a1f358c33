//! What the guests that stand in for upstream's test images share: flags, an HTTP server and client, TLS inside the guest.

pub mod agnhost;
pub mod client;
pub mod flags;
pub mod serving;
pub mod tls;

/// Runs a program of one thread to its end.
pub fn run<F: Future>(program: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one thread can always be had");
    tokio::task::LocalSet::new().block_on(&runtime, program)
}

/// The Pod's name, which is its host's.
pub fn host_name() -> String {
    std::env::var("HOSTNAME").unwrap_or_default()
}

/// Says why a program cannot go on, and ends it.
pub fn give_up(why: impl std::fmt::Display) -> ! {
    eprintln!("{why}");
    std::process::exit(1)
}
