//! Moves bytes from a Service's address to a ready Pod.
