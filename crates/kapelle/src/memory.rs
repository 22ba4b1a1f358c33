//! Where the process's memory comes from.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's C header, which its Rust binding does not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Pages that hold nothing any more go back to the system at once rather than a second later. The allocator looks at its
/// clock only when it is called, so that a master that has just read its log, and then idles, would keep what that took.
pub(crate) fn give_back_at_once() {
    // SAFETY: the option is one of the library's own, and setting it touches nothing but its value.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) }
}
