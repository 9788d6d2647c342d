//! The company's customers and whom of them something concerns.

pub mod addressee;
