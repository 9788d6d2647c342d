//! Log lines: formatted where they arise, written to standard error by a thread of its own.
//! A full pipe or a journal on a stalled disk therefore loses lines instead of stopping the node.

use std::backtrace::Backtrace;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use thiserror::Error;
use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::TryInitError;

use super::metrics::{Counter, Metrics};
use crate::model::limits::LOG_LINES_WAITING_MAX;

/// The variable that overrides what is logged, such as `LIFEBOAT_LOG=lifeboat::web=debug`.
const FILTER_VARIABLE: &str = "LIFEBOAT_LOG";

/// A library that warns of every heartbeat that fails, several times a second for as long as a node is away. Our own
/// events say once that it does not answer and once that it does again.
const LOUD: &str = "openraft";

/// How long the last lines may take at the end of the process.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line for people; coloured on a terminal unless `NO_COLOR` is set.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be started.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The filter from `LIFEBOAT_LOG` cannot be understood.
    #[error(
        "cannot understand the log filter in {FILTER_VARIABLE}; wanted such as info,lifeboat::web=debug"
    )]
    BadFilter(#[source] tracing_subscriber::filter::ParseError),
    /// The writing thread could not be started.
    #[error("cannot start the thread that writes the log")]
    NoThread(#[source] io::Error),
    /// Something else in this process already logs.
    #[error("logging was already started")]
    AlreadyStarted(#[source] TryInitError),
}

enum Piece {
    Line(Vec<u8>),
    LastOne(SyncSender<()>),
}

/// Keeps logging going; when it is dropped, the lines still waiting are written.
pub struct Logging {
    lines: SyncSender<Piece>,
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (written, all_written) = sync_channel(1);
        // A log that is stuck for longer than this is given up, as the process must be able to end.
        if self.lines.try_send(Piece::LastOne(written)).is_ok() {
            let _gave_up = all_written.recv_timeout(LAST_LINES_WITHIN);
        }
    }
}

/// Starts logging for the whole process and makes panics log lines too. `level` (error, warn, info or
/// debug) is for Lifeboat's own events; libraries speak from `warn` on, a loud one from `error`. Lost lines are counted in `metrics`.
///
/// # Errors
/// See [`LoggingError`].
pub fn start_logging(
    format: Format,
    level: &str,
    metrics: &Metrics,
) -> Result<Logging, LoggingError> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(wanted) if !wanted.is_empty() => EnvFilter::try_new(wanted),
        _ => EnvFilter::try_new(format!("warn,{LOUD}=error,lifeboat={level}")),
    };
    let filter = filter.map_err(LoggingError::BadFilter)?;
    let (lines, waiting) = sync_channel(LOG_LINES_WAITING_MAX);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(&waiting, io::stderr()))
        .map_err(LoggingError::NoThread)?;
    let lost = metrics.counter(
        "lifeboat_log_lines_lost_total",
        "Log lines that nobody took in time.",
    );
    let queue = Queue {
        lines: lines.clone(),
        lost,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(queue);
    use tracing_subscriber::util::SubscriberInitExt;
    match format {
        Format::Json => builder.json().flatten_event(true).finish().try_init(),
        Format::Text => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colour).finish().try_init()
        }
    }
    .map_err(LoggingError::AlreadyStarted)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(Logging { lines })
}

/// Says where a panic arose. Its message is shown only where it is a literal of the program: one that
/// was put together at run time may hold what a visitor wrote.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload().downcast_ref::<&'static str>();
    let thread = std::thread::current();
    error!(
        message = message.copied().unwrap_or("(not shown: it may hold a visitor's words)"),
        place = panic.location().map(tracing::field::display),
        thread = thread.name().unwrap_or("unnamed"),
        trace = %Backtrace::capture(),
        "panic"
    );
}

fn write_all(waiting: &Receiver<Piece>, mut out: impl Write) {
    for piece in waiting {
        match piece {
            // There is nobody left to tell that standard error is gone.
            Piece::Line(line) => drop(out.write_all(&line)),
            Piece::LastOne(written) => {
                let _flushed = out.flush();
                let _nobody_waits = written.try_send(());
            }
        }
    }
}

#[derive(Clone)]
struct Queue {
    lines: SyncSender<Piece>,
    lost: Counter,
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.try_send(Piece::Line(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.lost.add(1),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Queue;

    fn make_writer(&'a self) -> Queue {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_nobody_takes_loses_lines_and_never_waits() {
        let metrics = Metrics::new();
        let lost = metrics.counter("lost", "Lost lines.");
        let (lines, _never_read) = sync_channel(2);
        let mut queue = Queue {
            lines,
            lost: lost.clone(),
        };
        for _ in 0..5 {
            queue.write_all(b"a line\n").unwrap();
        }
        assert_eq!(lost.get(), 3);
    }

    #[test]
    fn the_last_lines_are_written_before_logging_ends() {
        let (lines, waiting) = sync_channel(8);
        lines
            .try_send(Piece::Line(b"last\n".to_vec()))
            .ok()
            .unwrap();
        let reader = std::thread::spawn(move || {
            let mut out = Vec::new();
            let piece = waiting.recv().unwrap();
            let Piece::Line(line) = piece else {
                panic!("the line comes first")
            };
            out.extend(line);
            let Ok(Piece::LastOne(written)) = waiting.recv() else {
                panic!("then the end")
            };
            assert_eq!(out, b"last\n");
            written.try_send(()).unwrap();
        });
        drop(Logging { lines });
        reader.join().unwrap();
    }
}
