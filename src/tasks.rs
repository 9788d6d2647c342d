//! Named long-lived tasks: started in order, stopped in reverse, and nobody's end goes unnoticed.
//! What a task's end means is chosen at its start: [`Tasks::start`] reports it to whoever runs the node,
//! [`Tasks::keep`] starts the work again. A panic is one way to end. Work for one connection or one
//! request is not a task: it is spawned where it arises, and its panic ends that connection only.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, error_span, info, warn};

/// The pause before work that ended is started again; doubled each time up to the longest.
const PAUSE_SHORTEST: Duration = Duration::from_secs(1);

/// The longest pause: a minute is soon enough for people, and too slow to burn a processor.
const PAUSE_LONGEST: Duration = Duration::from_secs(60);

/// Work that lasted this long had recovered, so its next pause is the shortest again.
const HEALTHY_AFTER: Duration = Duration::from_secs(300);

/// Asks a task to stop. A task watches it with `stop.cancelled()` and returns `Ok(())`.
pub type Stop = CancellationToken;

/// What a task's work comes to: nothing, or why it could not go on.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// How a task came to its end.
#[derive(Debug)]
pub enum How {
    /// Its work was done.
    Finished,
    /// It could not go on.
    Failed(Box<dyn Error + Send + Sync>),
    /// It panicked; where is in the log, as the panic hook wrote it.
    Panicked,
    /// It did not stop when asked and was cut off.
    CutOff,
}

impl fmt::Display for How {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Finished => out.write_str("finished"),
            How::Failed(_) => out.write_str("failed"),
            How::Panicked => out.write_str("panicked"),
            How::CutOff => out.write_str("did not stop in time and was cut off"),
        }
    }
}

/// The end of one task.
#[derive(Debug)]
pub struct Ended {
    /// The name it was started under.
    pub name: &'static str,
    /// How it ended.
    pub how: How,
    place: usize,
}

struct Running {
    name: &'static str,
    stop: Stop,
    handle: AbortHandle,
    place: usize,
}

/// The long-lived tasks of one process, in the order in which they were started.
/// Dropping it cuts all of them off.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<Ended>,
    running: Vec<Running>,
    started: usize,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Starts work that is not meant to end. Its end, however it comes, is what [`Tasks::first_end`] returns.
    pub fn start<W, F>(&mut self, on: &Handle, name: &'static str, work: W)
    where
        W: FnOnce(Stop) -> F,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let stop = Stop::new();
        let work = work(stop.clone());
        self.spawn(on, name, stop, async move { caught(work).await });
    }

    /// Starts work that is started again when it ends, fails or panics, after a pause. It is for
    /// workers whose failure must not take the doors down with them, such as the mail courier.
    pub fn keep<W, F>(&mut self, on: &Handle, name: &'static str, work: W)
    where
        W: Fn(Stop) -> F + Send + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let stop = Stop::new();
        let again = started_again(name, stop.clone(), work);
        self.spawn(on, name, stop, again);
    }

    fn spawn(
        &mut self,
        on: &Handle,
        name: &'static str,
        stop: Stop,
        work: impl Future<Output = How> + Send + 'static,
    ) {
        let place = self.started;
        self.started += 1;
        let span = error_span!("task", name);
        // Boxed, so that what the runtime does with a task is compiled once and not for each kind of work.
        let whole: BoxFuture<'static, Ended> = Box::pin(async move {
            let how = work.await;
            Ended { name, how, place }
        });
        let handle = self.set.spawn_on(whole.instrument(span), on);
        self.running.push(Running {
            name,
            stop,
            handle,
            place,
        });
    }

    /// Waits until a task ends without having been asked to; never returns while all of them go on.
    pub async fn first_end(&mut self) -> Ended {
        loop {
            match self.set.join_next().await {
                Some(Ok(ended)) => {
                    self.running.retain(|running| running.place != ended.place);
                    log_end(&ended);
                    return ended;
                }
                // A runtime that is shut down drops its tasks: no work of theirs is lost that was promised.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Stops all tasks, the last started first, each before the one it may depend on. What is left of
    /// `within` is shared evenly by those still to stop, so that a slow door leaves time for the disk.
    /// Returns the names of those that had to be cut off.
    pub async fn stop(mut self, within: Duration) -> Vec<&'static str> {
        let end = Instant::now() + within;
        let mut cut_off = Vec::new();
        while let Some(running) = self.running.pop() {
            let left = end.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(self.running.len() + 1).unwrap_or(u32::MAX);
            running.stop.cancel();
            if timeout(share, self.wait_for(running.place)).await.is_err() {
                running.handle.abort();
                warn!(task = running.name, "{}", How::CutOff);
                cut_off.push(running.name);
            }
        }
        cut_off
    }

    /// Waits for the task started at `place`. Others that end meanwhile are told in the log.
    async fn wait_for(&mut self, place: usize) {
        let still_runs = |set: &JoinSet<Ended>| !set.is_empty();
        while still_runs(&self.set) {
            match self.set.join_next().await {
                Some(Ok(ended)) => {
                    log_end(&ended);
                    if ended.place == place {
                        return;
                    }
                    self.running.retain(|running| running.place != ended.place);
                }
                Some(Err(_)) => {}
                None => return,
            }
        }
    }
}

async fn started_again<W, F>(name: &'static str, stop: Stop, work: W) -> How
where
    W: Fn(Stop) -> F,
    F: Future<Output = Outcome>,
{
    let mut pause = PAUSE_SHORTEST;
    loop {
        let began = Instant::now();
        let how = caught(work(stop.clone())).await;
        if stop.is_cancelled() {
            return how;
        }
        if began.elapsed() >= HEALTHY_AFTER {
            pause = PAUSE_SHORTEST;
        }
        let why = reason(&how);
        error!(task = name, %how, why, again_in_s = pause.as_secs(), "task will be started again");
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return How::Finished,
        }
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
}

async fn caught(work: impl Future<Output = Outcome>) -> How {
    let ended: Result<Outcome, Box<dyn Any + Send>> = AssertUnwindSafe(work).catch_unwind().await;
    match ended {
        Ok(Ok(())) => How::Finished,
        Ok(Err(error)) => How::Failed(error),
        Err(_) => How::Panicked,
    }
}

fn log_end(ended: &Ended) {
    match &ended.how {
        How::Finished => info!(task = ended.name, "task finished"),
        How::Failed(_) | How::Panicked | How::CutOff => {
            error!(task = ended.name, how = %ended.how, why = reason(&ended.how), "task ended");
        }
    }
}

/// The error and what caused it, in one line.
fn reason(how: &How) -> String {
    let How::Failed(error) = how else {
        return String::new();
    };
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    async fn until_stopped(stop: Stop) -> Outcome {
        stop.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn tasks_stop_in_reverse_order_of_their_start() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Tasks::new();
        for name in ["disk", "raft", "web"] {
            let order = order.clone();
            tasks.start(&Handle::current(), name, move |stop| async move {
                stop.cancelled().await;
                order.lock().unwrap().push(name);
                Ok(())
            });
        }
        assert!(tasks.stop(Duration::from_secs(5)).await.is_empty());
        assert_eq!(*order.lock().unwrap(), ["web", "raft", "disk"]);
    }

    #[tokio::test]
    async fn a_panic_is_reported_as_the_end_of_that_task_only() {
        let mut tasks = Tasks::new();
        tasks.start(&Handle::current(), "steady", until_stopped);
        tasks.start(&Handle::current(), "bad", |_| async {
            panic!("planted");
        });
        let ended = tasks.first_end().await;
        assert_eq!(ended.name, "bad");
        assert!(matches!(ended.how, How::Panicked));
        assert!(tasks.stop(Duration::from_secs(5)).await.is_empty());
    }

    #[tokio::test]
    async fn a_failure_is_reported_with_its_cause() {
        let mut tasks = Tasks::new();
        tasks.start(&Handle::current(), "bad", |_| async {
            Err("no such address".into())
        });
        let ended = tasks.first_end().await;
        assert_eq!(reason(&ended.how), "no such address");
    }

    #[tokio::test(start_paused = true)]
    async fn kept_work_is_started_again_after_every_kind_of_end() {
        let starts = Arc::new(AtomicUsize::new(0));
        let mut tasks = Tasks::new();
        let seen = starts.clone();
        let (again, mut four_times) = tokio::sync::watch::channel(0);
        tasks.keep(&Handle::current(), "courier", move |stop| {
            let start = seen.fetch_add(1, Ordering::SeqCst);
            again.send_replace(start);
            async move {
                match start {
                    0 => Ok(()),
                    1 => Err("a failure".into()),
                    2 => panic!("planted"),
                    _ => until_stopped(stop).await,
                }
            }
        });
        four_times.wait_for(|start| *start == 3).await.unwrap();
        assert!(tasks.stop(Duration::from_secs(5)).await.is_empty());
        assert_eq!(starts.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_cut_off_and_leaves_time_for_the_others() {
        let mut tasks = Tasks::new();
        tasks.start(&Handle::current(), "disk", |stop| async move {
            stop.cancelled().await;
            sleep(Duration::from_secs(4)).await; // waits because it stands for a slow last write
            Ok(())
        });
        tasks.start(&Handle::current(), "deaf", |_| std::future::pending());
        assert_eq!(tasks.stop(Duration::from_secs(10)).await, ["deaf"]);
    }
}
