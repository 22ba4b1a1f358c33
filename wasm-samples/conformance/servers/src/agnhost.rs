//! What `agnhost` does: one module for each of its commands.

mod connect;
mod convert;
mod discovery;
mod guestbook;
mod hostname;
mod liveness;
mod logs;
mod mounttest;
mod netexec;
mod porter;
mod web;
mod webhook;

use crate::flags::Flags;
use crate::{give_up, run};

/// Runs the command that the arguments name. Without one it is `pause`, as in upstream's image.
pub fn main(arguments: Vec<String>) {
    let mut words = arguments.iter().skip(1).cloned();
    let command = words.next().unwrap_or_else(|| "pause".to_owned());
    let flags = Flags::parse(words);
    match command.as_str() {
        "connect" => run(connect::main(&flags)),
        "crd-conversion-webhook" => run(convert::main(&flags)),
        "entrypoint-tester" => println!("[{}]", arguments.join(" ")),
        "guestbook" => run(guestbook::main(&flags)),
        "liveness" => run(liveness::main()),
        "logs-generator" => run(logs::main(&flags)),
        "mounttest" => mounttest::main(&flags),
        "netexec" => run(netexec::main(&flags)),
        "pause" => pause(),
        "porter" => run(porter::main(&flags)),
        "serve-hostname" => run(hostname::main(&flags)),
        "test-service-account-issuer-discovery" => run(discovery::main(&flags)),
        "test-webserver" => run(web::main(&flags)),
        "webhook" => run(webhook::main(&flags)),
        other => give_up(format!("this build of agnhost has no command {other:?}")),
    }
}

/// Waits until it is ended.
fn pause() -> ! {
    println!("Paused");
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}
