//! Who must not be written to.

use super::{Scope, Suppression};
use crate::model::{Refusal, Reply, State, limits, words::KeyedHash};

pub(in crate::model) fn suppress(
    state: &mut State,
    by: String,
    addresses: &[KeyedHash],
    scope: Scope,
) -> Result<Reply, Refusal> {
    let suppressed = &mut state.campaigns.suppressed;
    if addresses.len() > limits::SUPPRESSED_AT_ONCE
        || suppressed.len() + addresses.len() > limits::SUPPRESSED_MAX
    {
        return Err(Refusal::TooMany {
            what: "suppressed addresses".to_owned(),
            most: limits::SUPPRESSED_MAX as u64,
        });
    }
    for address in addresses {
        let known = suppressed.get(address).map(|it| it.scope);
        suppressed.insert(
            *address,
            Suppression {
                // Who must get nothing does not get more by unsubscribing from some of it.
                scope: known.map_or(scope, |it| it.max(scope)),
                since: state.now,
                by: by.clone(),
            },
        );
    }
    Ok(Reply::Done)
}
