//! What tests of other rooms need of this one; its own tests are beside the code.

pub(crate) mod stand_in;
