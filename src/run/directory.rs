//! Starts what keeps the directory open, and writes it anew where that is due.

use super::{Node, Runtimes};
use crate::{
    directory::{Keeper, Live},
    tasks::Tasks,
};

impl Node<'_> {
    /// Keeps the live version open for whoever asks; it is there before the state is, and empty until then.
    pub(super) fn start_directory(&self, tasks: &mut Tasks, runtimes: &Runtimes, live: &Live) {
        let keeper = Keeper {
            cluster: self.cluster.clone(),
            blobs: self.blobs.clone(),
            keyring: self.keyring.clone(),
            live: live.clone(),
        };
        tasks.keep(runtimes.background.handle(), "directory", move |stop| {
            keeper.clone().run(stop)
        });
    }
}
