//! Bounds of the vault: ways to open it, and keys that it had.

/// Ways to open the vault: a passphrase or two, a file on a stick, a set of shares. Each is one more thing to lose.
pub const VAULT_WAYS_MAX: usize = 8;
/// Keys that the vault has and had: each opens its predecessor, and nobody changes it a thousand times.
pub const VAULT_KEYS_MAX: usize = 1_000;
/// Bytes of the vault's key as it is sealed for one way: 32 of the encapsulation, 32 of the key, 16 of the tag (RFC 9180).
pub const VAULT_WRAP_BYTES: usize = 80;
/// Bytes of a way's own secret as a passphrase seals it: nonce, 32 bytes and tag.
pub const VAULT_LOCKED_BYTES: usize = 60;
/// KiB of memory that argon2id takes for a passphrase, at most: a node has 1 GiB.
pub const VAULT_MEMORY_KIB_MAX: u32 = 262_144;
/// Passes of argon2id over that memory, at most.
pub const VAULT_PASSES_MAX: u32 = 10;
/// Shares of one way, at most: as many people as can be found on a night.
pub const VAULT_SHARES_MAX: u8 = 9;
/// Characters of a passphrase, at least: what it seals can be tried offline by whoever has a disk.
pub const VAULT_PASSPHRASE_CHARS_MIN: usize = 16;
/// Characters of a passphrase, at most.
pub const VAULT_PASSPHRASE_CHARS_MAX: usize = 1_000;
/// Milliseconds between two rounds of a node that has the key: whom it hands it to, what is still sealed otherwise.
pub const VAULT_ROUND_MS: u64 = 1_000;
/// Milliseconds that a peer has for taking the key.
pub const VAULT_HANDING_MS: u64 = 3_000;
/// Secrets that one round seals anew: each is an entry of the log.
pub const VAULT_RESEAL_AT_ONCE: usize = 8;
/// Bytes of a file that opens the vault, at most.
pub const VAULT_FILE_BYTES_MAX: u64 = 4_096;
