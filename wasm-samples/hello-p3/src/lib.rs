//! Says who answered, through the asynchronous interfaces of WASI p3.
//!
//! One line with `POD_NAME` at every path, but `/trap`, where it fails.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

wasip3::http::service::export!(Hello);

struct Hello;

impl Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        assert_ne!(path, "/trap", "told to fail");
        let name = std::env::var("POD_NAME").unwrap_or_else(|_| "a Pod without a name".into());
        let text = format!("Hello from {name}, in WASI p3\n");

        let (mut body, body_reader) = wit_stream::new();
        let (no_trailers, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(body_reader), trailers);
        drop(no_trailers);
        wit_bindgen::spawn_local(async move {
            body.write_all(text.into_bytes()).await;
        });
        Ok(response)
    }
}
