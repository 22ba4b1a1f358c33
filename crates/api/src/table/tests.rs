//! Rows as `kubectl` users know them.
