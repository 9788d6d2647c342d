//! The bytes of one connection, between TLS and HTTP: writes are gathered and go out together, frames are counted,
//! and what moves is reported. A flood ends the connection with an error.
//!
//! HTTP asks for a flush after every frame; obeying would cost a TLS record and a system call each. `poll_flush` only
//! notes that something waits, and whoever drives the connection calls `poll_out` after each turn.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::web::flood::{Flood, FrameCount};
use crate::web::vitals::Vitals;

/// How much is gathered before it goes out in any case: four full TLS records.
const GATHERED_BYTES: usize = 64 * 1024;

/// How much is read of what ends a connection's rest; the others follow.
const WAKING_BYTES: usize = 1024;

thread_local! {
    /// The buffer of the connection that sent last: the next one finds it warm, and idle ones need none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One end is given to HTTP, the other kept by whoever drives the connection. Both are used by one task.
pub(super) struct Line<S> {
    inner: Arc<Mutex<Inner<S>>>,
}

impl<S> Clone for Line<S> {
    fn clone(&self) -> Line<S> {
        Line {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<S> {
    stream: S,
    /// Gathered, from `out_from` on.
    out: Vec<u8>,
    out_from: usize,
    /// Read already, for whoever reads next.
    early: Bytes,
    /// Bytes were given to TLS that may still lie there.
    unflushed: bool,
    frames: Option<FrameCount>,
    flooded: bool,
    vitals: Arc<Vitals>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// `frames` counts the frames of HTTP/2.
    pub(super) fn new(stream: S, vitals: Arc<Vitals>, frames: Option<FrameCount>) -> Line<S> {
        Line {
            inner: Arc::new(Mutex::new(Inner {
                stream,
                out: Vec::new(),
                out_from: 0,
                early: Bytes::new(),
                unflushed: false,
                frames,
                flooded: false,
                vitals,
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        // A panic while it was held ends the connection; the bytes in it are as good as before.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what was gathered, and lets go of the buffer: an idle connection keeps none.
    pub(super) fn poll_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.lock();
        ready!(inner.poll_out(cx))?;
        if inner.out.capacity() > 0 {
            SPARE.set(std::mem::take(&mut inner.out));
        }
        Poll::Ready(Ok(()))
    }

    /// Gives back bytes that were read, for whoever reads next.
    pub(super) fn put_back(&self, bytes: Bytes) {
        self.lock().early = bytes;
    }

    /// Waits until there is something to read, and keeps it for whoever reads next; false at the end of the stream.
    pub(super) fn poll_wake(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let inner = &mut *self.lock();
        if inner.early.is_empty() {
            let mut bytes = [0; WAKING_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(inner.poll_read(cx, &mut read))?;
            inner.early = Bytes::copy_from_slice(read.filled());
        }
        Poll::Ready(Ok(!inner.early.is_empty()))
    }

    /// Whether the connection ended because of too many control frames.
    pub(super) fn was_flooded(&self) -> bool {
        self.lock().flooded
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Inner<S> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_send(cx);
        match sent {
            Poll::Pending => self.vitals.stalls(),
            Poll::Ready(_) => self.vitals.flows(),
        }
        sent
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out_from < self.out.len() {
            let waiting = &self.out[self.out_from..];
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out_from += written;
            self.unflushed = true;
            self.vitals.wrote(written);
            if let Some(frames) = &mut self.frames {
                frames.sent(written);
            }
        }
        self.out.clear();
        self.out_from = 0;
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            self.vitals.read();
            if let Some(frames) = &mut self.frames
                && let Err(flood @ Flood) = frames.received(bytes)
            {
                self.flooded = true;
                return Poll::Ready(Err(io::Error::other(flood)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Room for more, after sending if there is none.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.out.len() >= GATHERED_BYTES {
            ready!(self.poll_out(cx))?;
        }
        if self.out.capacity() == 0 {
            self.out = SPARE.take();
            self.out.reserve(GATHERED_BYTES);
        }
        Poll::Ready(Ok(GATHERED_BYTES - self.out.len()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let inner = &mut *self.lock();
        if inner.early.is_empty() {
            return inner.poll_read(cx, buf);
        }
        let taken = inner.early.len().min(buf.remaining());
        buf.put_slice(&inner.early.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.lock();
        let room = ready!(inner.poll_room(cx))?;
        let taken = bytes.len().min(room);
        inner.out.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.lock();
        let mut room = ready!(inner.poll_room(cx))?;
        let mut taken = 0;
        for piece in pieces {
            let part = piece.len().min(room);
            inner.out.extend_from_slice(&piece[..part]);
            room -= part;
            taken += part;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.lock();
        ready!(inner.poll_out(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}
