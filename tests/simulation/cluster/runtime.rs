//! openraft's runtime with its dice in our hand: tokio, but for the random numbers.
//!
//! openraft brings such a runtime, which hands its seed from task to task; tasks that hyper starts would have none.
//! Here all of a run is on one thread, so the dice lie there.

use std::{cell::RefCell, future::Future, io, time::Duration};

use futures_util::FutureExt;
use openraft_rt::{
    AsyncRuntime, OptionalSend, Select2, Select3, Select4, deterministic_rng::DeterministicRng,
};
use openraft_rt_tokio::TokioRuntime;

use crate::dice::Dice;

thread_local! {
    static DICE: RefCell<Dice> = RefCell::new(Dice::of_seed(0));
}

/// Puts the dice of a seed onto this thread.
pub fn lay_dice(seed: u64) {
    DICE.with(|it| *it.borrow_mut() = Dice::of_seed(seed));
}

type Inner = TokioRuntime;

#[derive(Debug)]
pub struct Seeded(Inner);

impl AsyncRuntime for Seeded {
    type JoinError = <Inner as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <Inner as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Inner as AsyncRuntime>::Sleep;
    type Instant = <Inner as AsyncRuntime>::Instant;
    type TimeoutError = <Inner as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <Inner as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = <DeterministicRng<Inner> as AsyncRuntime>::ThreadLocalRng;
    type Mpsc = <Inner as AsyncRuntime>::Mpsc;
    type Watch = <Inner as AsyncRuntime>::Watch;
    type Oneshot = <Inner as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Inner as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        Inner::spawn(future)
    }

    // It waits because openraft says so.
    fn sleep(duration: Duration) -> Self::Sleep {
        // waits because openraft says so
        Inner::sleep(duration)
    }

    // It waits because openraft says so.
    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        // waits because openraft says so
        Inner::sleep_until(deadline)
    }

    fn timeout<R, F>(duration: Duration, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        Inner::timeout(duration, future)
    }

    fn timeout_at<R, F>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F>
    where
        F: Future<Output = R> + OptionalSend,
    {
        Inner::timeout_at(deadline, future)
    }

    fn select2<A, B>(
        a: A,
        b: B,
    ) -> impl Future<Output = Select2<A::Output, B::Output>> + OptionalSend
    where
        A: Future + OptionalSend,
        B: Future + OptionalSend,
    {
        Inner::select2(a, b)
    }

    fn select3<A, B, C>(
        a: A,
        b: B,
        c: C,
    ) -> impl Future<Output = Select3<A::Output, B::Output, C::Output>> + OptionalSend
    where
        A: Future + OptionalSend,
        B: Future + OptionalSend,
        C: Future + OptionalSend,
    {
        Inner::select3(a, b, c)
    }

    fn select4<A, B, C, D>(
        a: A,
        b: B,
        c: C,
        d: D,
    ) -> impl Future<Output = Select4<A::Output, B::Output, C::Output, D::Output>> + OptionalSend
    where
        A: Future + OptionalSend,
        B: Future + OptionalSend,
        C: Future + OptionalSend,
        D: Future + OptionalSend,
    {
        Inner::select4(a, b, c, d)
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        Inner::is_panic(error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        let seed = DICE.with(|it| it.borrow_mut().below(u64::MAX));
        let roll = async { DeterministicRng::<Inner>::thread_rng() };
        DeterministicRng::<Inner>::scope(seed, roll)
            .now_or_never()
            .expect("it waits for nothing")
    }

    fn new(threads: usize) -> Self {
        Self(Inner::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }

    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Inner::spawn_blocking(work)
    }
}
