//! Files of a message on their way into a mail: as many as fit, in order. What does not fit, or cannot be had in this
//! moment, is named.

use crate::files::Locker;
use crate::model::limits::FILES_BY_MAIL_BYTES;
use crate::model::words::{ClientId, ConversationId};

use super::compose::{Enclosed, EnclosedFile};

/// What goes along, and whether any file is lacking that another node may have.
pub(super) async fn enclosed(
    locker: Option<&Locker>,
    (conversation, message): (ConversationId, ClientId),
) -> (Enclosed, bool) {
    let (mut enclosed, mut lacks, mut left) = (Enclosed::default(), false, FILES_BY_MAIL_BYTES);
    let Some(locker) = locker else {
        return (enclosed, lacks);
    };
    for file in locker.of(&conversation, &message) {
        let standing = locker.standing(&conversation, &file);
        if standing.erased {
            continue;
        }
        let name = standing.name.unwrap_or_else(|| "?".to_owned());
        let Some(room) = left.checked_sub(file.bytes) else {
            enclosed.left.push(name);
            continue;
        };
        match locker.whole(&file).await {
            Ok(bytes) => {
                left = room;
                enclosed.files.push(EnclosedFile {
                    name,
                    kind: standing.kind,
                    bytes,
                });
            }
            Err(_) => {
                lacks = true;
                enclosed.left.push(name);
            }
        }
    }
    (enclosed, lacks)
}
