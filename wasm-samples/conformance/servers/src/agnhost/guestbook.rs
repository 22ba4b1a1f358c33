//! `guestbook`: a store that tells its replicas, and a front to both.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::flags::Flags;
use crate::serving::{self, Answer, Request};
use crate::{client, give_up};

/// How often, and how many times, a replica tries to find its primary.
const TRY_EVERY: Duration = Duration::from_secs(1);
const TRIES: u32 = 15;

struct Book {
    /// The port on which primaries and replicas listen.
    backend: String,
    store: RefCell<BTreeMap<String, String>>,
    replicas: RefCell<Vec<String>>,
}

pub async fn main(flags: &Flags) {
    let backend = flags.text("backend-port").unwrap_or("6379").to_owned();
    let book = Rc::new(Book { backend, store: RefCell::default(), replicas: RefCell::default() });
    let listener = serving::listen(flags.port("http-port", 80));
    if let Some(primary) = flags.text("replicaof") {
        let own = listener.ip().unwrap_or_else(|error| give_up(error));
        tokio::task::spawn_local(register(book.clone(), primary.to_owned(), own));
    }
    serving::serve(listener, None, move |request| respond(book.clone(), request)).await
}

/// Tells the primary of this replica, and takes over what is stored there.
async fn register(book: Rc<Book>, primary: String, own: IpAddr) {
    for _ in 0..TRIES {
        let path = format!("register?host={own}");
        match book.ask(&primary, &path).await {
            Ok(answer) => return book.take_over(&answer),
            Err(error) => println!("cannot register: {error}"),
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    give_up(format!("no answer from {primary}"));
}

async fn respond(book: Rc<Book>, request: Request) -> Answer {
    match request.path.as_str() {
        "/register" => book.register(&request),
        "/get" => book.get(request.value("key")),
        "/set" => book.set(request.value("key"), request.value("value")).await,
        "/guestbook" => book.forward(&request).await,
        _ => serving::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

impl Book {
    async fn ask(&self, host: &str, path: &str) -> Result<String, String> {
        client::get(client::address(&format!("{host}:{}", self.backend))?, path).await
    }

    fn take_over(&self, answer: &str) {
        let told: Value = serde_json::from_str(answer).unwrap_or_default();
        let pairs = told["data"].as_object().into_iter().flatten();
        let mut store = self.store.borrow_mut();
        store.extend(pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))));
    }

    fn register(&self, request: &Request) -> Answer {
        self.replicas.borrow_mut().push(request.value("host").to_owned());
        serving::ok(json!({"data": *self.store.borrow()}).to_string())
    }

    fn get(&self, key: &str) -> Answer {
        let store = self.store.borrow();
        let data = if key.is_empty() { json!(*store) } else { json!(store.get(key).map_or("", String::as_str)) };
        serving::ok(json!({"data": data}).to_string())
    }

    async fn set(&self, key: &str, value: &str) -> Answer {
        if key.is_empty() {
            return serving::bad("cannot set with empty key.");
        }
        self.store.borrow_mut().insert(key.to_owned(), value.to_owned());
        let replicas = self.replicas.borrow().clone();
        for replica in replicas {
            if let Err(error) = self.ask(&replica, &pair("set", key, value)).await {
                let why = format!("encountered error while propagating to replica '{replica}': {error}");
                return serving::text(StatusCode::EXPECTATION_FAILED, why);
            }
        }
        serving::ok(json!({"message": "Updated"}).to_string())
    }

    /// Writes go to the primary, reads to the replicas.
    async fn forward(&self, request: &Request) -> Answer {
        let (key, value) = (request.value("key"), request.value("value"));
        let command = request.value("cmd").to_lowercase();
        let host = match command.as_str() {
            "set" if key.is_empty() => return serving::bad("cannot set with empty key."),
            "set" => "agnhost-primary",
            "get" => "agnhost-replica",
            other => return serving::bad(format!("unsupported cmd: '{other}'")),
        };
        match self.ask(host, &pair(&command, key, value)).await {
            Ok(answer) => serving::ok(answer),
            Err(error) => serving::text(StatusCode::EXPECTATION_FAILED, format!("encountered error: {error}")),
        }
    }
}

fn pair(command: &str, key: &str, value: &str) -> String {
    let query =
        form_urlencoded::Serializer::new(String::new()).append_pair("key", key).append_pair("value", value).finish();
    format!("{command}?{query}")
}
