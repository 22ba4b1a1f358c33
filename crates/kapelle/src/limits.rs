//! Numbers of crates that do not know each other and must fit: only the binary sees both.

use agent::driver::{self, FLUSH_WITHIN, MODULE_BYTES_MAX};

use crate::process::STOP_WITHIN;

const _: () = {
    assert!(images::BLOB_BYTES_MAX >= sandbox::MAX_IMAGE_BYTES, "the registry refuses images that workers could run");
    assert!(MODULE_BYTES_MAX as u64 >= images::BLOB_BYTES_MAX, "workers do not pull all that the registry takes");
    assert!(driver::BATCH_WRITES_MAX <= apiserver::BATCH_WRITES_MAX, "masters refuse the batches of workers");
    assert!(FLUSH_WITHIN.as_millis() < STOP_WITHIN.as_millis(), "a stopping worker is ended before it has reported");
};
