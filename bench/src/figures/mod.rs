//! From records to what people look at: tables and pictures. Nothing else may put a figure into the README.

pub mod plot;
pub mod readme;
pub mod record;
