//! `serve-hostname`: tells the Pod's name, by HTTP or to whoever connects.

use hyper::header::CONNECTION;
use tokio::io::AsyncWriteExt as _;

use crate::flags::Flags;
use crate::{give_up, host_name, serving};

pub async fn main(flags: &Flags) {
    let listener = serving::listen(flags.port("port", 9376));
    if flags.is_on("udp", false) {
        give_up("sandboxes have no UDP");
    }
    if !flags.is_on("tcp", false) {
        let closes = flags.is_on("close", false);
        serving::serve(listener, None, move |_| async move {
            let answer = serving::ok(host_name());
            if closes { serving::with(answer, CONNECTION, "close") } else { answer }
        })
        .await;
    }
    loop {
        match listener.accept().await {
            Ok((mut stream, peer)) => {
                println!("TCP request from {peer}");
                tokio::task::spawn_local(async move {
                    let _ = stream.write_all(host_name().as_bytes()).await;
                });
            }
            Err(error) => eprintln!("cannot accept a connection: {error}"),
        }
    }
}
