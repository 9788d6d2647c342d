//! A form with files, in pieces of any size. Nothing panics; it says the same wherever it was cut, and passes on no more
//! bytes than came; whatever a file is called and holds, its name and its kind are ours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lifeboat::files::multipart::{Event, Malformed, Reader};
use lifeboat::files::{Look, cleaned};
use lifeboat::model::files::FileKind;
use lifeboat::model::limits::FILE_NAME_CHARS_MAX;

fn read(pieces: &[&[u8]]) -> (Vec<Event>, Result<(), Malformed>) {
    let mut reader = Reader::new("multipart/form-data; boundary=a").expect("it names one");
    let mut events: Vec<Event> = Vec::new();
    for piece in pieces {
        let done = reader.read(piece, |it| match (events.last_mut(), it) {
            (Some(Event::Data(all)), Event::Data(more)) => all.extend(more),
            (_, it) => events.push(it),
        });
        if done.is_err() {
            return (events, done);
        }
    }
    (events, reader.end())
}

fuzz_target!(|data: &[u8]| {
    let Some((size, body)) = data.split_first() else {
        return;
    };
    let pieces: Vec<&[u8]> = body.chunks(usize::from(*size).max(1)).collect();
    let (events, end) = read(&pieces);
    let (whole, whole_end) = read(&[body]);
    if end.is_ok() || whole_end.is_ok() {
        assert_eq!((&events, end), (&whole, whole_end));
    }
    let mut bytes = 0;
    for event in events {
        match event {
            Event::Part { file: Some(name), .. } => {
                for kind in FileKind::ALL {
                    let cleaned = cleaned(&name, kind);
                    assert!(cleaned.chars().count() <= FILE_NAME_CHARS_MAX);
                    assert!(!cleaned.contains(['/', '\\', '"', '\r', '\n', '\0']));
                }
            }
            Event::Data(data) => {
                bytes += data.len();
                let mut look = Look::default();
                if look.at(&data).is_ok() {
                    let _ = look.end();
                }
            }
            Event::Part { .. } | Event::End => {}
        }
    }
    assert!(bytes <= body.len());
    let _ = Reader::new(&String::from_utf8_lossy(body));
});
