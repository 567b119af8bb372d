//! The typed settings of the process.
