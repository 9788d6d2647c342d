//! The public's door: host names, TLS connections, the published website, and the way to Lifeboat's own pages.
//! It decides who answers and protects the node from what comes in; what the pages say is `public`'s business.
//! What fails here fails for one request or one connection.
//!
//! A request goes `listener` (is there a place) -> `connection` (handshake, HTTP, times) -> `front` (who answers) ->
//! `site` (from memory) or a router. A website comes in as `archive` -> `bundle::pack` -> blob -> `Site::load`.

pub mod archive;
pub mod bundle;
mod conditions;
mod connection;
pub mod content;
pub mod counters;
pub mod download;
pub mod encode;
mod finish;
mod flood;
pub mod front;
pub mod home;
pub mod host;
mod inline;
mod late;
mod line;
pub mod listener;
mod media;
mod negotiate;
mod onward;
pub mod passing;
mod paths;
pub mod places;
mod policy;
mod posted;
pub mod preview;
pub mod public;
pub mod site;
mod speech;
mod squeeze;
mod vitals;

pub use front::{Front, Stopping};
pub use listener::{Bounds, Sockets, serve};
pub use passing::Passing;
pub use site::Site;
pub use vitals::Patience;

#[cfg(test)]
mod tests;
