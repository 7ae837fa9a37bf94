//! How the data files are read, and what their commands do.

pub mod cases;
pub mod confchange;
pub mod quorum;
