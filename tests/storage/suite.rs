//! openraft's own conformance suite, on both disks.

use lifeboat::cluster::disk::Disk;
use lifeboat::cluster::front::Shown;
use lifeboat::cluster::journal::{Journal, KeepFrom};
use lifeboat::cluster::machine::Machine;
use lifeboat::cluster::sqlite::SqliteDisk;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::lossy_disk::LossyDisk;
use super::{CLUSTER, Folder, T};

async fn store<D: Disk>(disk: D) -> (Journal<D>, Machine<D>) {
    let (machine, _published) =
        Machine::open(disk.clone(), CLUSTER, KeepFrom::default(), Shown::default())
            .await
            .unwrap();
    // The suite purges without snapshots, which a node never does.
    let journal = Journal::open(disk, machine.last(), KeepFrom::new(u64::MAX))
        .await
        .unwrap();
    (journal, machine)
}

struct Sqlite;

impl StoreBuilder<T, Journal<SqliteDisk>, Machine<SqliteDisk>, Folder> for Sqlite {
    async fn build(
        &self,
    ) -> Result<(Folder, Journal<SqliteDisk>, Machine<SqliteDisk>), StorageError<T>> {
        let folder = Folder::new();
        let (journal, machine) = store(SqliteDisk::open(&folder.0).unwrap()).await;
        Ok((folder, journal, machine))
    }
}

struct Lossy;

impl StoreBuilder<T, Journal<LossyDisk>, Machine<LossyDisk>> for Lossy {
    async fn build(&self) -> Result<((), Journal<LossyDisk>, Machine<LossyDisk>), StorageError<T>> {
        let (journal, machine) = store(LossyDisk::default()).await;
        Ok(((), journal, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_on_sqlite_passes_openrafts_suite() {
    Suite::test_all(Sqlite).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_on_the_lossy_disk_passes_openrafts_suite() {
    Suite::test_all(Lossy).await.unwrap();
}
