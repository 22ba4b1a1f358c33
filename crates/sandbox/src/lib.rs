//! Runs one WebAssembly workload under limits.
