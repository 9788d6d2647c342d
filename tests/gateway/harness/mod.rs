//! What the stories are told with: nodes as processes, rooms to run them in, customers with browsers, and a ledger of
//! what was acknowledged. Nothing here knows a story.

pub mod attacker;
pub mod conversations;
pub mod ears;
pub mod ledger;
pub mod logbook;
pub mod node;
pub mod operators;
pub mod recorder;
pub mod room;
pub mod stage;

use std::time::Duration;

use anyhow::Result;
use lifeboat::clock;
pub use lifeboat::demo::{browser, socket};

/// The longest that anything is waited for: a debug build on a busy machine is slow, and most waits take a second.
pub const WAIT: Duration = Duration::from_secs(60);
/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Looks until `look` finds something.
///
/// # Errors
/// When it has not after [`WAIT`]; the error says what the last look said.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    until_within(what, WAIT, look).await
}

/// The same with another patience.
///
/// # Errors
/// As above.
pub async fn until_within<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = clock::monotonic();
    loop {
        let last = match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        anyhow::ensure!(
            began.elapsed() < patience,
            "waited {} s in vain: {what} ({last})",
            patience.as_secs()
        );
        // waits because another process has to get there, and it tells nobody when it does
        tokio::time::sleep(LOOK).await;
    }
}

/// Lets time pass in which something must not happen.
pub async fn meanwhile(long: Duration) {
    // waits because the story is about what does not happen meanwhile
    tokio::time::sleep(long).await;
}

/// Says why a story is not played here.
pub fn skipped(story: &str, why: &str) {
    println!("skipped: {story}: {why}");
}

/// A story's facts, one line each; `cargo nextest run --no-capture` shows them.
pub fn tell(line: &str) {
    println!("  {line}");
}
