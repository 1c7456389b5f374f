//! The machine in RAM.
