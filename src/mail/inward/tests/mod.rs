//! Mail that comes in, as the real world sends it and as nobody should.

mod kept;
mod letters;
mod sample;
mod session;
