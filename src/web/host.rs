//! Host names: which are Lifeboat's own, which are borrowed during an outage, and which are not ours at all.
//! A name that cannot be read is not ours.

use std::collections::HashMap;
use std::sync::Arc;

use hyper::header::HOST;
use hyper::{Request, Version};

/// What a name is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Lifeboat's own: the full treatment.
    Own,
    /// The company's, switched over to us by DNS: nothing that we do under it may outlive the outage.
    Borrowed,
}

/// Why a request's host gets no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHost {
    /// None, two different ones, or one that cannot be a name: 400.
    Unreadable,
    /// Somebody else's: 421.
    NotOurs,
}

/// The names this node answers for.
#[derive(Debug, Clone, Default)]
pub struct Names {
    known: HashMap<String, (Arc<str>, Standing)>,
}

impl Names {
    /// Own and borrowed names. One that is both counts as borrowed, the more careful of the two.
    pub fn new<'a>(
        own: impl IntoIterator<Item = &'a str>,
        borrowed: impl IntoIterator<Item = &'a str>,
    ) -> Names {
        let own = own.into_iter().map(|name| (name, Standing::Own));
        let borrowed = borrowed.into_iter().map(|name| (name, Standing::Borrowed));
        let known = own
            .chain(borrowed)
            .map(|(name, standing)| {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                (name.clone(), (Arc::from(name), standing))
            })
            .collect();
        Names { known }
    }

    /// The name that a request is for, in our spelling, and what it is to us.
    pub fn find<B>(&self, request: &Request<B>) -> Result<(&Arc<str>, Standing), NoHost> {
        let authority = authority(request)?;
        let name = without_port(authority).ok_or(NoHost::Unreadable)?;
        let found = self.known.get(name).or_else(|| {
            // Browsers send small letters and no last dot; only others pay for this.
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            self.known.get(&name)
        });
        found
            .map(|(name, standing)| (name, *standing))
            .ok_or(NoHost::NotOurs)
    }
}

/// The authority of RFC 9110 section 7.2: from the target where it has one, otherwise from `Host`.
fn authority<B>(request: &Request<B>) -> Result<&str, NoHost> {
    let target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let mut fields = request.headers().get_all(HOST).iter();
    let field = match fields.next() {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_| NoHost::Unreadable)?),
    };
    if fields.next().is_some() {
        return Err(NoHost::Unreadable);
    }
    match (target, field) {
        // RFC 9113 section 8.3.1: two names for one request are a malformed request.
        (Some(target), Some(field)) if request.version() == Version::HTTP_2 => {
            if target.eq_ignore_ascii_case(field) {
                Ok(target)
            } else {
                Err(NoHost::Unreadable)
            }
        }
        (Some(target), _) => Ok(target),
        (None, Some(field)) => Ok(field),
        (None, None) => Err(NoHost::Unreadable),
    }
}

/// The host of `host[:port]`; `None` where it is none. An address in brackets has a colon too, and is never a name.
fn without_port(authority: &str) -> Option<&str> {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some((_, port)) if port.ends_with(']') => authority,
        Some(_) => return None,
        None => authority,
    };
    let readable =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':');
    (!host.is_empty() && host.bytes().all(readable)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(uri: &str, hosts: &[&str]) -> Result<(String, Standing), NoHost> {
        let names = Names::new(["help.example.net"], ["www.example.com"]);
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        names
            .find(&request.body(()).expect("a request"))
            .map(|(name, standing)| (name.to_string(), standing))
    }

    #[test]
    fn a_name_is_found_whatever_its_spelling() {
        for host in [
            "help.example.net",
            "HELP.example.net:8443",
            "help.example.net.",
        ] {
            assert_eq!(
                find("/", &[host]),
                Ok(("help.example.net".into(), Standing::Own)),
                "{host}"
            );
        }
        let borrowed = Ok(("www.example.com".into(), Standing::Borrowed));
        assert_eq!(find("/", &["www.example.com"]), borrowed);
        assert_eq!(
            find("http://www.example.com/", &["help.example.net"]),
            borrowed
        );
    }

    #[test]
    fn other_hosts_are_told_apart_from_nonsense() {
        for host in [
            "example.org",
            "127.0.0.1",
            "[::1]",
            "[::1]:443",
            "www.example.com.evil.org",
        ] {
            assert_eq!(find("/", &[host]), Err(NoHost::NotOurs), "{host}");
        }
        for hosts in [
            &[][..],
            &["a", "a"],
            &[""],
            &["a b"],
            &["a/b"],
            &["u@help.example.net"],
            &["a:b"],
        ] {
            assert_eq!(find("/", hosts), Err(NoHost::Unreadable), "{hosts:?}");
        }
    }
}
