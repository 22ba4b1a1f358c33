//! Waits until it is ended. It takes its turn once in a long while, so that it costs nothing.

fn main() {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}
