//! What is filled in, and that it stays.
