//! To be written by its own commit.
