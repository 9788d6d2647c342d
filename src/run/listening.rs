//! Where this node listens over TCP, and what an address means there.
//!
//! `[::]:443` takes IPv4 as well, unless the same list names that port over IPv4 too; without that exception the pair
//! `0.0.0.0:53` and `[::]:53`, as one writes it, could not both be opened (Linux, `ipv6(7)`, `IPV6_V6ONLY`). Names are
//! stricter: there `[::]:53` is IPv6 alone, as over UDP each family has a socket of its own.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::RunError;

/// Connections that may wait to be taken; the system's own bound (`net.core.somaxconn`) is mostly higher.
const BACKLOG: i32 = 1024;

/// Which families a wildcard of IPv6 stands for.
#[derive(Clone, Copy)]
pub(super) enum Wildcard {
    /// Both, where IPv4 has no socket of its own in the list.
    Both,
    /// IPv6 alone.
    Ipv6,
}

/// Opens every address of a list; must be called within a runtime.
///
/// # Errors
/// The first that cannot be opened.
pub(super) fn all(
    list: &[SocketAddr],
    wildcard: Wildcard,
    what: &'static str,
) -> Result<Vec<TcpListener>, RunError> {
    let opened = list.iter().map(|address| {
        let has_its_own = |it: &SocketAddr| it.is_ipv4() && it.port() == address.port();
        let alone = matches!(wildcard, Wildcard::Ipv6) || list.iter().any(has_its_own);
        open(*address, alone).map_err(|source| RunError::Listen {
            what,
            address: *address,
            source,
        })
    });
    opened.collect()
}

/// Opens one address.
///
/// # Errors
/// It cannot be opened.
pub(super) fn one(address: SocketAddr, what: &'static str) -> Result<TcpListener, RunError> {
    all(&[address], Wildcard::Both, what).map(|mut it| it.remove(0))
}

fn open(address: SocketAddr, ipv6_alone: bool) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(ipv6_alone)?;
    }
    // A node that begins anew takes its port again at once.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tokio::net::TcpStream;

    use super::*;

    /// A port that nobody has at this moment, in either family.
    fn free() -> u16 {
        let held = std::net::TcpListener::bind("[::]:0").unwrap();
        held.local_addr().unwrap().port()
    }

    async fn reached(at: impl Into<SocketAddr>) -> bool {
        TcpStream::connect(at.into()).await.is_ok()
    }

    #[tokio::test]
    async fn both_families_can_be_named_for_one_port_as_the_examples_do() {
        let port = free();
        let list = [
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ];
        for wildcard in [Wildcard::Both, Wildcard::Ipv6] {
            let opened = all(&list, wildcard, "a test").unwrap();
            assert_eq!(opened.len(), 2);
            assert!(reached((Ipv4Addr::LOCALHOST, port)).await);
            assert!(reached((Ipv6Addr::LOCALHOST, port)).await);
        }
    }

    #[tokio::test]
    async fn a_wildcard_alone_takes_both_families_where_it_may() {
        let port = free();
        let list: [SocketAddr; 1] = [(Ipv6Addr::UNSPECIFIED, port).into()];
        let both = all(&list, Wildcard::Both, "a test").unwrap();
        assert!(reached((Ipv4Addr::LOCALHOST, port)).await);
        drop(both);
        let _ipv6 = all(&list, Wildcard::Ipv6, "a test").unwrap();
        assert!(!reached((Ipv4Addr::LOCALHOST, port)).await);
        assert!(reached((Ipv6Addr::LOCALHOST, port)).await);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refused = one(address, "a test").unwrap_err().to_string();
        assert!(
            refused.contains(&address.to_string()) && refused.contains("a test"),
            "{refused}"
        );
    }
}
