//! Domain names, types and sets of records: from the wire, from a zone file's text, from the log. Nothing panics; what is
//! read is written as text and bytes that read the same, within the bounds; the order is one order.
#![no_main]

use std::cmp::Ordering;

use libfuzzer_sys::fuzz_target;
use lifeboat::model::domain::{DomainName, RrSet, RrType};

fn sound(name: &DomainName) {
    assert!(name.as_wire().len() <= 255 && name.label_count() <= 127);
    assert_eq!(name.labels().count(), name.label_count());
    let back: Result<DomainName, _> = name.to_string().parse();
    assert_eq!(back.as_ref().ok(), Some(name));
    let (back, used) = DomainName::from_wire(name.as_wire()).expect("what was read is read again");
    assert!(back == *name && used == name.as_wire().len());
    if let Some(parent) = name.parent() {
        assert!(name.is_within(&parent) && !parent.is_within(name));
        assert_eq!(parent.cmp(name), Ordering::Less, "a parent comes first");
    }
}

fuzz_target!(|data: &[u8]| {
    let mut names = vec![DomainName::root()];
    let mut rest = data;
    while let Ok((name, used)) = DomainName::from_wire(rest)
        && used > 0
        && names.len() < 8
    {
        rest = &rest[used..];
        names.push(name);
    }
    let text = String::from_utf8_lossy(data);
    let origin = names.last().cloned().unwrap_or_else(DomainName::root);
    names.extend(
        text.split(' ')
            .take(8)
            .filter_map(|it| DomainName::parse(it, &origin).ok()),
    );
    for name in &names {
        sound(name);
        for other in &names {
            assert_eq!(name.cmp(other), other.cmp(name).reverse());
            assert_eq!(name.cmp(other) == Ordering::Equal, name == other);
        }
    }
    if let Ok(kind) = text.parse::<RrType>() {
        assert_eq!(kind.to_string().parse::<RrType>().ok(), Some(kind));
    }
    if let Ok(set) = postcard::from_bytes::<RrSet>(data) {
        sound(&set.name);
        let bytes = postcard::to_stdvec(&set).expect("what was read is written");
        assert_eq!(postcard::from_bytes::<RrSet>(&bytes).ok(), Some(set));
    }
});
