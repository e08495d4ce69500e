//! Thrift's compact protocol, as far as a guard needs it: every claim of a length is held against what is there.
//!
//! A decoder that reserves room for a list on the word of its count can be made to ask for more memory than there
//! is, which ends the process. Walking the bytes first costs next to nothing: nothing is kept but the integers of
//! the outermost structure.

/// Deepest nesting of structures and lists.
const MAX_DEPTH: u32 = 32;

/// What stands where: too little, or something that is no such structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The bytes end inside the structure: more may complete it.
    Ends,
    /// No bytes that follow can make it one.
    Malformed,
}

/// Integers of a structure by the number of their field, and how many bytes the structure takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Structure {
    fields: Vec<(i64, i64)>,
    pub(super) bytes: usize,
}

impl Structure {
    /// The integer of a field, if it is there.
    pub(super) fn integer(&self, field: i64) -> Option<i64> {
        self.fields.iter().rev().find(|(number, _)| *number == field).map(|(_, value)| *value)
    }
}

/// Walks the structure that the bytes begin with. A list may have as many elements as bytes follow, and a text as
/// many bytes.
pub(super) fn walk(bytes: &[u8]) -> Result<Structure, Wrong> {
    let mut walker = Walker { rest: bytes };
    let mut fields = Vec::new();
    walker.structure(0, &mut |field, value| fields.push((field, value)))?;
    Ok(Structure { fields, bytes: bytes.len() - walker.rest.len() })
}

struct Walker<'a> {
    rest: &'a [u8],
}

type Seen<'s> = &'s mut dyn FnMut(i64, i64);

impl Walker<'_> {
    fn structure(&mut self, depth: u32, seen: Seen<'_>) -> Result<(), Wrong> {
        if depth > MAX_DEPTH {
            return Err(Wrong::Malformed);
        }
        let mut field = 0_i64;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            field = match header >> 4 {
                0 => self.zigzag()?,
                step => field.saturating_add(i64::from(step)),
            };
            match header & 0x0f {
                // A flag's value stands in its header.
                1 | 2 => {}
                3 => self.skip(1)?,
                4..=6 => {
                    let value = self.zigzag()?;
                    seen(field, value);
                }
                kind => self.value(kind, depth)?,
            }
        }
    }

    fn value(&mut self, kind: u8, depth: u32) -> Result<(), Wrong> {
        if depth > MAX_DEPTH {
            return Err(Wrong::Malformed);
        }
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.varint().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(usize::try_from(length).map_err(|_| Wrong::Malformed)?)
            }
            9 | 10 => {
                let header = self.byte()?;
                let count = match header >> 4 {
                    15 => self.varint()?,
                    count => u64::from(count),
                };
                self.elements(count, &[header & 0x0f], depth)
            }
            11 => match self.varint()? {
                0 => Ok(()),
                count => {
                    let kinds = self.byte()?;
                    self.elements(count, &[kinds >> 4, kinds & 0x0f], depth)
                }
            },
            12 => self.structure(depth + 1, &mut |_, _| {}),
            13 => self.skip(16),
            _ => Err(Wrong::Malformed),
        }
    }

    fn elements(&mut self, count: u64, kinds: &[u8], depth: u32) -> Result<(), Wrong> {
        // Each takes a byte at the least.
        if count > self.rest.len() as u64 {
            return Err(Wrong::Ends);
        }
        for _ in 0..count {
            kinds.iter().try_for_each(|&kind| self.value(kind, depth + 1))?;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        let (&byte, rest) = self.rest.split_first().ok_or(Wrong::Ends)?;
        self.rest = rest;
        Ok(byte)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Wrong> {
        self.rest = self.rest.get(bytes..).ok_or(Wrong::Ends)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Wrong> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Wrong::Malformed)
    }

    fn zigzag(&mut self) -> Result<i64, Wrong> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_integers_of_the_outermost_structure_are_found() {
        // Field 1: i32 -3; field 2: structure with field 1: i32 5; field 3: list of two i32; field 18: i64 300.
        let bytes =
            [0x15, 0x05, 0x1c, 0x15, 0x0a, 0x00, 0x19, 0x25, 0x02, 0x04, 0xf6, 0xd8, 0x04, 0x00, 0x99];
        let found = walk(&bytes).unwrap();
        assert_eq!((found.integer(1), found.integer(2), found.integer(18)), (Some(-3), None, Some(300)));
        assert_eq!(found.bytes, bytes.len() - 1);
        for end in 0..bytes.len() - 1 {
            assert_eq!(walk(&bytes[..end]), Err(Wrong::Ends), "{end}");
        }
    }

    #[test]
    fn claims_beyond_what_follows_are_refused() {
        let list = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
        let text = [0x18, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00];
        let map = [0x1b, 0xff, 0xff, 0x7f, 0x55, 0x00];
        for bytes in [&list[..], &text, &map] {
            assert_eq!(walk(bytes), Err(Wrong::Ends));
        }
        assert_eq!(walk(&[0x1c; 100]), Err(Wrong::Malformed));
        assert_eq!(walk(&[0x1e]), Err(Wrong::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(found) = walk(&bytes) {
                prop_assert!((1..=bytes.len()).contains(&found.bytes));
            }
        }
    }
}
