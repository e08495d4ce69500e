//! An object whose key is not known before its last byte, because the key names the bytes' digest.
//!
//! Flows in: bytes, piece by piece. Flows out: an object, once the store puts it under a key; until then no reader sees
//! it, and one that is dropped leaves nothing behind.

use std::io::{self, Write};

use contracts::{Code, Failure, Result};

use super::staging::Staged;

/// Bytes on their way to the store that gave the draft.
#[derive(Debug)]
pub struct Draft<'a>(pub(super) Kept<'a>);

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Kept<'a> {
    Memory(Vec<u8>),
    File(Staged<'a>),
}

impl Draft<'_> {
    pub(super) const fn in_memory() -> Self {
        Self(Kept::Memory(Vec::new()))
    }

    /// The bytes of a draft that is in memory.
    pub(super) fn into_bytes(self) -> Result<Vec<u8>> {
        match self.0 {
            Kept::Memory(bytes) => Ok(bytes),
            Kept::File(_) => Err(Failure::new(Code::InternalError, "a draft was put into another store")),
        }
    }
}

impl Write for Draft<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kept::Memory(all) => all.write(bytes),
            Kept::File(staged) => staged.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
