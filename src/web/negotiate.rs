//! Which encoding a client wants most, from its `Accept-Encoding` (RFC 9110 section 12.5.3).
//! A field that makes no sense is read as far as it does; nothing here fails.

use hyper::header::{ACCEPT_ENCODING, HeaderMap};

use crate::web::encode::Encoding;

/// How much a client wants each encoding, in thousandths; 0 is "not at all".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    brotli: u16,
    zstd: u16,
    gzip: u16,
    identity: u16,
}

impl Accepted {
    /// What the request says; without the field only the content as it is, which every client takes.
    pub fn of(headers: &HeaderMap) -> Accepted {
        let mut named = [None; 4];
        let mut others = None;
        for value in headers.get_all(ACCEPT_ENCODING) {
            for part in value.as_bytes().split(|&b| b == b',') {
                let mut pieces = part.split(|&b| b == b';').map(<[u8]>::trim_ascii);
                let coding = pieces.next().unwrap_or_default();
                let weight = pieces.find_map(weight).unwrap_or(1_000);
                if coding == b"*" {
                    others = Some(weight);
                } else if let Some(at) = Encoding::ALL.iter().position(|e| is_named(*e, coding)) {
                    named[at] = Some(weight);
                }
            }
        }
        let [brotli, zstd, gzip, identity] = named;
        let squeezed = |weight: Option<u16>| weight.or(others).unwrap_or(0);
        Accepted {
            brotli: squeezed(brotli),
            zstd: squeezed(zstd),
            gzip: squeezed(gzip),
            // Acceptable unless it is refused by name, or by `*` without being named.
            identity: match (identity, others) {
                (Some(weight), _) => weight,
                (None, Some(0)) => 0,
                (None, _) => 1,
            },
        }
    }

    /// The weight given to one encoding.
    pub fn weight(self, encoding: Encoding) -> u16 {
        match encoding {
            Encoding::Brotli => self.brotli,
            Encoding::Zstd => self.zstd,
            Encoding::Gzip => self.gzip,
            Encoding::Identity => self.identity,
        }
    }

    /// The first of `order` that the client wants no less than the content as it is.
    pub fn first_of(self, order: [Encoding; 3]) -> Option<Encoding> {
        let mut wanted = order.into_iter();
        wanted.find(|&encoding| self.weight(encoding) >= self.identity.max(1))
    }

    /// The best of what there is: the highest weight, and of equals the one that is usually smallest.
    pub fn best(self, is_there: impl Fn(Encoding) -> bool) -> Option<Encoding> {
        let mut best = None;
        let mut most = 0;
        for encoding in Encoding::ALL {
            if self.weight(encoding) > most && is_there(encoding) {
                most = self.weight(encoding);
                best = Some(encoding);
            }
        }
        best
    }
}

fn is_named(encoding: Encoding, coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(encoding.token().as_bytes())
        || (encoding == Encoding::Gzip && coding.eq_ignore_ascii_case(b"x-gzip"))
}

/// `q=0.123` in thousandths; `None` where this is another parameter. What cannot be read counts as 0, so that a
/// client is never sent what it may have meant to refuse.
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return None;
    };
    let thousandths = match value {
        [b'1'] => 1_000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|&b| b == b'0') => 1_000,
        [b'0'] => 0,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let read = digits.iter().fold(0, |n, &b| n * 10 + u16::from(b - b'0'));
            read * [1_000, 100, 10, 1][digits.len()]
        }
        _ => 0,
    };
    Some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    fn best(field: &str) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        headers.insert(
            ACCEPT_ENCODING,
            HeaderValue::from_str(field).expect("a field"),
        );
        Accepted::of(&headers).best(|_| true)
    }

    #[test]
    fn the_weights_decide_and_then_the_size() {
        use Encoding::{Brotli, Gzip, Identity, Zstd};
        for (field, wanted) in [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip;q=1.0, br;q=0.9", Some(Gzip)),
            ("br;q=0, *", Some(Zstd)),
            ("br;q=0.001, gzip;q=0", Some(Brotli)),
            ("GZIP ; q=0.5", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("deflate", Some(Identity)),
            ("", Some(Identity)),
            ("identity;q=0.5, gzip;q=0.4", Some(Identity)),
            ("identity", Some(Identity)),
            ("*;q=0", None),
            ("identity;q=0", None),
            ("identity;q=0, gzip", Some(Gzip)),
            ("br;q=7, gzip", Some(Gzip)),
            ("br;q=0.1234", Some(Identity)),
        ] {
            assert_eq!(best(field), wanted, "{field}");
        }
        assert_eq!(
            Accepted::of(&HeaderMap::new()).best(|_| true),
            Some(Identity)
        );
    }

    proptest! {
        #[test]
        fn no_field_panics(field in "[ -~]{0,80}") {
            best(&field);
        }
    }
}
