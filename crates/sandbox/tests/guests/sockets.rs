//! Guests that listen and connect by themselves.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sandbox::{Container, Name, Refusal, Spec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Remembered, SANDBOX, env, get, image, text};

/// An address of this machine that no other test uses.
fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 99, 71, last])
}

async fn server(last: u8) -> Container {
    let mut spec = Spec::new(image("echo-tcp").await);
    spec.network.ip = Some(ip(last));
    let mut log = Remembered::of(&mut spec);
    let container = SANDBOX.start(spec).unwrap();
    log.has(&format!("listening on {}:7000", ip(last))).await;
    container
}

#[tokio::test]
async fn two_servers_listen_on_the_same_port_of_different_addresses() {
    let servers = [server(1).await, server(2).await];
    for last in [1, 2] {
        let mut connection = TcpStream::connect((ip(last), 7000)).await.unwrap();
        connection.write_all(b"hello\n").await.unwrap();
        let mut answer = [0; 6];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello\n");
    }
    for server in servers {
        server.kill();
        server.exited().await;
    }
    assert!(TcpStream::connect((ip(1), 7000)).await.is_err(), "its sockets go with it");
}

#[tokio::test]
async fn names_and_addresses_are_what_the_hooks_say() {
    let server = server(3).await;
    let mut spec = Spec::new(image("echo-tcp").await);
    spec.env = env(&[("CONNECT", "echo.default.svc:80")]);
    spec.network.ip = Some(ip(4));
    let service: SocketAddr = (ip(200), 80).into();
    let endpoint: SocketAddr = (ip(3), 7000).into();
    // The first address leads nowhere: a program that tries them one after the other needs the second.
    spec.network.resolve = Arc::new(move |name| match name {
        "echo.default.svc" => Name::Known(vec![ip(250), service.ip()]),
        _ => Name::Unknown,
    });
    spec.network.connect = Arc::new(move |address| match address {
        _ if address == service || address == endpoint => Ok(endpoint),
        _ if address.ip() == ip(250) => Err(Refusal::NobodyListens),
        _ => Err(Refusal::Denied),
    });
    let log = Remembered::of(&mut spec);
    assert_eq!(SANDBOX.start(spec.clone()).unwrap().exited().await.code, 0, "{}", log.text());
    assert_eq!(log.text(), "echo.default.svc:80 answered: is anybody there?\n");

    spec.env = env(&[("CONNECT", "other.default.svc:80")]);
    assert_eq!(SANDBOX.start(spec.clone()).unwrap().exited().await.code, 1, "a name that the hook does not know");
    spec.env = env(&[("CONNECT", "127.99.71.3:7001")]);
    assert_eq!(SANDBOX.start(spec).unwrap().exited().await.code, 1, "an address that the hook does not allow");
    server.kill();
}

/// `localhost` stands for any name that this machine knows.
fn alias(name: &str) -> Name {
    if name == "db.shop" { Name::Outside("localhost".to_owned()) } else { Name::Unknown }
}

#[tokio::test]
async fn a_name_outside_means_what_this_machine_makes_of_it_and_each_address_is_asked_about() {
    let server = server(8).await;
    let mut spec = Spec::new(image("echo-tcp").await);
    spec.env = env(&[("CONNECT", "db.shop:80")]);
    spec.network.ip = Some(ip(9));
    spec.network.resolve = Arc::new(alias);
    let own: SocketAddr = (ip(9), 80).into();
    let endpoint: SocketAddr = (ip(8), 7000).into();
    // What the machine calls localhost is the Pod itself, as always; somebody may answer for it.
    spec.network.connect =
        Arc::new(move |to| if to == own || to == endpoint { Ok(endpoint) } else { Err(Refusal::Denied) });
    let log = Remembered::of(&mut spec);
    assert_eq!(SANDBOX.start(spec.clone()).unwrap().exited().await.code, 0, "{}", log.text());
    assert_eq!(log.text(), "db.shop:80 answered: is anybody there?\n");
    spec.network.connect = Arc::new(|_| Err(Refusal::Denied));
    assert_eq!(SANDBOX.start(spec).unwrap().exited().await.code, 1, "the address is not allowed");
    server.kill();

    let mut spec = Spec::new(image("dial-p3").await);
    spec.network.ip = Some(ip(10));
    spec.network.resolve = Arc::new(alias);
    let handle = SANDBOX.start(spec).unwrap().http().unwrap();
    let found = text(handle.handle(get("/?look-up=db.shop")).await).await;
    assert!(found == "127.0.0.1" || found.contains("Ipv6"), "{found}");
    let nobody = text(handle.handle(get("/?look-up=nobody.shop")).await).await;
    assert!(nobody.contains("NameUnresolvable"), "{nobody}");
}

#[tokio::test]
async fn without_an_address_there_is_no_network() {
    let exit = SANDBOX.start(Spec::new(image("echo-tcp").await)).unwrap().exited().await;
    assert_eq!(exit.code, 1);
}

#[tokio::test]
async fn every_connection_is_asked_about_as_it_is_made() {
    for (sample, verb) in [("dial", "p2"), ("dial", "p3"), ("dial-p3", "connect")] {
        let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        host.set_nonblocking(true).unwrap();
        let address = host.local_addr().unwrap();
        let mut spec = Spec::new(image(sample).await);
        spec.network.ip = Some(ip(5));
        // A hook that answers an address which it would not allow itself.
        spec.network.connect = Arc::new(move |to| if to == address { Err(Refusal::Denied) } else { Ok(address) });
        let handle = SANDBOX.start(spec).unwrap().http().unwrap();
        let answer = text(handle.handle(get(&format!("/?{verb}=203.0.113.1:80"))).await).await;
        assert!(answer.contains("AccessDenied") || answer.contains("PermissionDenied"), "{sample} {verb}: {answer}");
        assert!(host.accept().is_err(), "{sample} {verb}: nobody came");
    }
}

#[tokio::test]
async fn what_listens_is_told_as_long_as_it_does() {
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut spec = Spec::new(image("echo-tcp").await);
    spec.network.ip = Some(ip(6));
    let (opened, closed) = (told.clone(), told.clone());
    spec.network.listen = Arc::new(move |at| {
        opened.lock().unwrap().push(format!("{at} opens"));
        let closed = closed.clone();
        Box::new(OnDrop(Box::new(move || closed.lock().unwrap().push(format!("{at} closes")))))
    });
    let mut log = Remembered::of(&mut spec);
    let container = SANDBOX.start(spec).unwrap();
    log.has("listening").await;
    assert_eq!(*told.lock().unwrap(), ["127.99.71.6:7000 opens"]);
    container.kill();
    container.exited().await;
    while told.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told.lock().unwrap()[1], "127.99.71.6:7000 closes");
}

struct OnDrop(Box<dyn Fn() + Send + Sync>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}
