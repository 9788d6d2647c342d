//! Counting what an HTTP/2 client says besides requests. hyper's h2 bounds resets, CONTINUATION and empty DATA
//! frames itself; SETTINGS, PING and the like it answers as fast as they come, so they are counted here.
//! Only frame headers are looked at (RFC 9113 section 4.1); past the bound the connection ends.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::model::limits::{H2_BYTES_PER_WINDOW_UPDATE, H2_CONTROL_FRAMES, H2_CONTROL_FRAMES_MS};

/// The client connection preface, RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;

/// More than a client has any reason to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client sends too many control frames")]
pub(super) struct Flood;

/// Follows the frames of one connection.
#[derive(Debug)]
pub(super) struct FrameCount {
    /// Bytes to pass over before the next frame head.
    skip: usize,
    head: [u8; FRAME_HEAD_BYTES],
    head_filled: usize,
    since: Instant,
    control: u64,
    window_updates: u64,
    /// Bytes sent to the client since `since`; each lot of them may be answered by a WINDOW_UPDATE.
    sent: u64,
}

impl FrameCount {
    pub(super) fn new() -> FrameCount {
        FrameCount {
            skip: PREFACE_BYTES,
            head: [0; FRAME_HEAD_BYTES],
            head_filled: 0,
            since: clock::monotonic(),
            control: 0,
            window_updates: 0,
            sent: 0,
        }
    }

    /// Bytes went to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Bytes came from the client.
    ///
    /// # Errors
    /// They are too many control frames in too short a time.
    pub(super) fn received(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (FRAME_HEAD_BYTES - self.head_filled).min(bytes.len());
            self.head[self.head_filled..self.head_filled + taken].copy_from_slice(&bytes[..taken]);
            self.head_filled += taken;
            bytes = &bytes[taken..];
            if self.head_filled == FRAME_HEAD_BYTES {
                self.head_filled = 0;
                let [a, b, c, kind, ..] = self.head;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                self.count(kind)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, kind: u8) -> Result<(), Flood> {
        match kind {
            DATA | HEADERS => return Ok(()),
            WINDOW_UPDATE => self.window_updates += 1,
            _ => self.control += 1,
        }
        let earned = self.sent / H2_BYTES_PER_WINDOW_UPDATE;
        let updates = self.window_updates.saturating_sub(earned);
        if self.control.max(updates) <= u64::from(H2_CONTROL_FRAMES) {
            return Ok(());
        }
        let now = clock::monotonic();
        if now.duration_since(self.since) < Duration::from_millis(H2_CONTROL_FRAMES_MS) {
            return Err(Flood);
        }
        self.since = now;
        self.control = 0;
        self.window_updates = 0;
        self.sent = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![a, b, c, kind, 0, 0, 0, 0, 0];
        frame.resize(FRAME_HEAD_BYTES + payload, 0xff);
        frame
    }

    fn opened() -> FrameCount {
        let mut count = FrameCount::new();
        count.received(&[0; PREFACE_BYTES]).expect("the preface");
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_in_ten_seconds_pass_and_one_more_does_not() {
        let mut count = opened();
        for _ in 0..H2_CONTROL_FRAMES {
            assert_eq!(count.received(&frame(PING, 8)), Ok(()));
        }
        assert_eq!(count.received(&frame(PING, 8)), Err(Flood));
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_spread_over_time_passes() {
        let mut count = opened();
        for _ in 0..5 * H2_CONTROL_FRAMES {
            tokio::time::advance(Duration::from_millis(11)).await;
            assert_eq!(count.received(&frame(PING, 8)), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_bodies_and_earned_window_updates_are_no_flood() {
        let mut count = opened();
        for _ in 0..10 * H2_CONTROL_FRAMES {
            count.sent(10_000);
            for kind in [HEADERS, DATA, WINDOW_UPDATE] {
                assert_eq!(count.received(&frame(kind, 20)), Ok(()));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn window_updates_for_nothing_are_a_flood() {
        let mut count = opened();
        let flood =
            (0..=H2_CONTROL_FRAMES).any(|_| count.received(&frame(WINDOW_UPDATE, 4)).is_err());
        assert!(flood);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_same_frames_are_counted(
            sizes in proptest::collection::vec(0_usize..40, 1..50), cut in 1_usize..30,
        ) {
            let mut count = opened();
            let bytes: Vec<u8> = sizes.iter().flat_map(|&size| frame(PING, size)).collect();
            for piece in bytes.chunks(cut) {
                prop_assert_eq!(count.received(piece), Ok(()));
            }
            prop_assert_eq!(count.control, sizes.len() as u64);
            prop_assert_eq!((count.skip, count.head_filled), (0, 0));
        }
    }
}
