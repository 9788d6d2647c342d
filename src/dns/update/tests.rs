//! Updates as pure text in, sets out.
