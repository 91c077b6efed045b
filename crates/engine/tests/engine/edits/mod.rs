//! Rules that change streams: what leaves, segment by segment, and what arrives over networks that
//! lose, repeat and reorder.

mod asks;
pub(crate) mod cases;
mod editor;
mod endpoint;
mod gate;
mod limits;
mod patience;
mod scripts;
mod simulation;
