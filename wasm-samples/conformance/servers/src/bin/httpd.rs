//! A web server on port 80 with one page: what the suite needs of `nginx` and `httpd`.

use servers::serving;

fn main() {
    servers::run(async {
        let page = "<!DOCTYPE html><title>It works</title><h1>It works</h1>\n";
        let kind = "text/html; charset=utf-8";
        serving::serve(
            serving::listen(80),
            None,
            move |_| async move { serving::typed(hyper::StatusCode::OK, kind, page) },
        )
        .await
    });
}
