//! Versions of the directory, as everybody agrees on them.
