//! Masters agree on one order of commands and never lose one.
