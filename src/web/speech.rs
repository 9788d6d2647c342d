//! What HTTP/1.1 and HTTP/2 have in common for whoever drives a connection, and the rest between two requests: an
//! HTTP/1.1 connection that carries nothing lets go of everything but its TLS, and begins anew with the next byte.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::model::limits::{
    H2_CONNECTION_WINDOW, H2_STREAM_WINDOW, H2_STREAMS, REQUEST_HEAD_BYTES, REQUEST_HEADERS,
};
use crate::web::content::Content;
use crate::web::front::Answer;
use crate::web::line::Line;

/// Why HTTP ended.
pub(super) type Fault = Box<dyn Error + Send + Sync>;

/// HTTP on one connection.
pub(super) trait Speech {
    /// Goes on with what there is to do; ready at the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>>;

    /// Ends after what is underway.
    fn goodbye(&mut self);

    /// Lets go of what is not needed until the other side speaks again.
    fn rest(&mut self);
}

/// Answers requests; one for each connection.
pub(super) trait Answering:
    Service<
        Request<Incoming>,
        Response = hyper::Response<Content>,
        Error = Infallible,
        Future = Answer,
    > + Clone
    + Unpin
{
}

impl<A> Answering for A where
    A: Service<
            Request<Incoming>,
            Response = hyper::Response<Content>,
            Error = Infallible,
            Future = Answer,
        > + Clone
        + Unpin
{
}

/// HTTP/1.1.
pub(super) struct H1<S: AsyncRead + AsyncWrite + Unpin, A: Answering> {
    line: Line<S>,
    answers: A,
    talking: Option<Box<http1::Connection<TokioIo<Line<S>>, A>>>,
    /// The goodbye was said while resting.
    leaves: bool,
}

impl<S, A> H1<S, A>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answering,
{
    pub(super) fn new(line: Line<S>, answers: A) -> H1<S, A> {
        let talking = Some(Self::talk(&line, &answers));
        H1 {
            line,
            answers,
            talking,
            leaves: false,
        }
    }

    fn talk(line: &Line<S>, answers: &A) -> Box<http1::Connection<TokioIo<Line<S>>, A>> {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // `Watch` times the head from its first byte; hyper would time the wait between requests too.
            .header_read_timeout(None)
            .max_buf_size(REQUEST_HEAD_BYTES)
            .max_headers(REQUEST_HEADERS)
            .serve_connection(TokioIo::new(line.clone()), answers.clone());
        Box::new(connection)
    }
}

impl<S, A> Speech for H1<S, A>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answering,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let talking = match &mut self.talking {
            Some(talking) => talking,
            None => {
                if self.leaves || !ready!(self.line.poll_wake(cx))? {
                    return Pin::new(&mut self.line)
                        .poll_shutdown(cx)
                        .map_err(Fault::from);
                }
                let talking = Self::talk(&self.line, &self.answers);
                self.talking.insert(talking)
            }
        };
        Pin::new(&mut **talking).poll(cx).map_err(Fault::from)
    }

    fn goodbye(&mut self) {
        match &mut self.talking {
            Some(talking) => Pin::new(&mut **talking).graceful_shutdown(),
            None => self.leaves = true,
        }
    }

    fn rest(&mut self) {
        if let Some(talking) = self.talking.take() {
            // The beginning of a request may be here already.
            self.line.put_back(talking.into_parts().read_buf);
        }
    }
}

/// HTTP/2, whose state belongs to the connection: it never rests.
pub(super) struct H2<S: AsyncRead + AsyncWrite + Unpin, A: Answering, E>(
    Pin<Box<Streams<S, A, E>>>,
)
where
    E: Http2ServerConnExec<Answer, Content>;

type Streams<S, A, E> = http2::Connection<TokioIo<Line<S>>, A, E>;

impl<S, A, E> H2<S, A, E>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answering,
    E: Http2ServerConnExec<Answer, Content> + Clone,
{
    /// `streams` runs its streams.
    pub(super) fn new(line: Line<S>, answers: A, streams: E) -> H2<S, A, E> {
        let connection = http2::Builder::new(streams)
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(REQUEST_HEAD_BYTES).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(line), answers);
        H2(Box::pin(connection))
    }
}

impl<S, A, E> Speech for H2<S, A, E>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answering,
    E: Http2ServerConnExec<Answer, Content>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.0.as_mut().poll(cx).map_err(Fault::from)
    }

    fn goodbye(&mut self) {
        self.0.as_mut().graceful_shutdown();
    }

    fn rest(&mut self) {}
}
