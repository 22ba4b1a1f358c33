//! A simulator that runs the shipped brains under virtual time.
