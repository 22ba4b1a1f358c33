//! What is said about fields without effect.
