//! The live version, open on this node, for everybody who asks. It stays the one before until the next can be read here.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Directory;

/// What is open now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<ArcSwapOption<Directory>>);

impl Live {
    /// The open version; nothing where there is no directory, or none that this node can read.
    pub fn get(&self) -> Option<Arc<Directory>> {
        self.0.load_full()
    }

    /// Opens another one to everybody.
    pub fn set(&self, directory: Option<Directory>) {
        self.0.store(directory.map(Arc::new));
    }
}
