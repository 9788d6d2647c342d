//! What a mail server answers, in pieces of any size. Nothing panics; a reply is bounded, and its status holds no word of
//! the server's prose.
#![no_main]

use std::io::Cursor;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use lifeboat::mail::out::reply::{Offers, Reply};
use lifeboat::model::limits::{SMTP_REPLY_LINE_BYTES, SMTP_REPLY_LINES};
use tokio::io::BufReader;

fuzz_target!(|data: &[u8]| {
    let Some((piece, said)) = data.split_first() else {
        return;
    };
    let mut stream = BufReader::with_capacity(usize::from(*piece).max(1), Cursor::new(said));
    loop {
        // Memory is always ready, so one look is enough.
        let read = {
            let reading = pin!(Reply::read(&mut stream));
            let Poll::Ready(read) = reading.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("waits for bytes that are there");
            };
            read
        };
        let Ok(reply) = read else { return };
        assert!((200..600).contains(&reply.code) && reply.lines.len() <= SMTP_REPLY_LINES);
        assert!(
            reply
                .lines
                .iter()
                .all(|line| line.len() <= 3 * SMTP_REPLY_LINE_BYTES)
        );
        let kinds = [
            reply.is_done(),
            reply.is_go_on(),
            reply.is_later(),
            reply.is_refusal(),
        ];
        assert_eq!(kinds.iter().filter(|it| **it).count(), 1);
        let status = reply.status();
        assert!(
            status.len() <= 13
                && status
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b". ".contains(&b))
        );
        let _ = Offers::of(&reply);
    }
});
