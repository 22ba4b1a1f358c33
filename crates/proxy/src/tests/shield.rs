//! Daemons that listen on every address of the host.

use super::*;
use crate::{Shield, ShieldError};

#[tokio::test]
async fn only_who_listens_on_an_address_of_the_range_answers_there() {
    let daemon = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = daemon.local_addr().unwrap().port();
    let both = TcpListener::bind("[::]:0").await.unwrap();
    let own = TcpListener::bind("127.99.0.1:0").await.unwrap();
    let at = |ip: &str, port| SocketAddr::new(ip.parse().unwrap(), port);
    let reach = |to: SocketAddr| async move { TcpStream::connect(to).await.map(drop).map_err(|error| error.kind()) };
    assert_eq!(reach(at("127.99.0.1", port)).await, Ok(()), "without a shield the daemon answers");

    let shield = match Shield::new(&["127.99.0.0/16".parse().unwrap()]) {
        Ok(shield) => shield,
        Err(ShieldError::NotPermitted) => return println!("skipped: filtering packets needs root"),
        Err(error) => panic!("{error:?}"),
    };
    let refused = Err(std::io::ErrorKind::ConnectionRefused);
    assert_eq!(reach(at("127.99.0.1", port)).await, refused);
    assert_eq!(reach(at("127.99.255.255", port)).await, refused);
    assert_eq!(reach(at("127.99.0.1", both.local_addr().unwrap().port())).await, refused, "IPv6 sockets as well");
    assert_eq!(reach(own.local_addr().unwrap()).await, Ok(()));
    assert_eq!(reach(at("127.98.0.1", port)).await, Ok(()), "other addresses are the daemon's");
    drop(shield);
    while reach(at("127.99.0.1", port)).await.is_err() {
        tokio::task::yield_now().await;
    }
}
