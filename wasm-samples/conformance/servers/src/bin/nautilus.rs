//! A web server on port 80 that says which picture it shows: what the suite needs of `nautilus`.

use hyper::StatusCode;
use servers::serving;

fn main() {
    servers::run(async {
        serving::serve(serving::listen(80), None, |request| async move {
            match request.path.as_str() {
                "/data.json" => {
                    serving::typed(StatusCode::OK, "application/json", "{\n  \"image\": \"nautilus.jpg\"\n}\n")
                }
                _ => serving::text(StatusCode::NOT_FOUND, "404 page not found\n"),
            }
        })
        .await
    });
}
