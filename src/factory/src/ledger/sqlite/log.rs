//! What the log beside a ledger holds, and whether that is all that it held.
//!
//! SQLite takes the first frame of a log that is not whole for the log's end, and goes on without a word from what stands
//! before it. After a power cut that is right, since the last write may be torn; but a byte that changed, or a log that was cut
//! or taken away, would take every later commit with it. Two things tell the one from the other:
//!
//! - The index of the log names how many frames the log held. A frame is on disk before the index names it, so what it names
//!   and the log lacks was taken from the log. A process that is killed leaves both; a power cut leaves an index that may be
//!   old, and then names less, another log or nothing: what it names is the least that there was.
//! - Frames are chained by their checksums. Two commits in one unbroken piece of chain behind a break, or behind a header that
//!   is none: the first was on disk before the second began, and so was all before it.
//!
//! Flows in: the first bytes of the index, and the log. Flows out: what is lost of the log. Invariant: where what stands could
//! be the work of SQLite, of a power cut at any moment or of somebody who is at work, nothing is said. The formats are those
//! of <https://sqlite.org/walformat.html>.

use std::io::{ErrorKind, Read, Result};

/// Bytes of the index that say what the log holds: two copies of its header, and how much was moved into the ledger's file.
pub(super) const INDEX_BYTES: usize = 2 * INDEX_HEADER + 4;

const INDEX_HEADER: usize = 48;
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Of the log's format and the index's.
const VERSION: u32 = 3_007_000;

/// How a log begins; the last bit is set where its checksums are of big-endian words.
const MAGIC: u32 = 0x377f_0682;

/// Bytes of a page, unless somebody made them others.
const USUAL_PAGE: u32 = 4_096;

/// What is lost of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is not there, is empty or has no beginning, and these frames were in no other place.
    All(u32),
    /// It is whole up to the first number of frames, and was up to the second.
    End(u32, u32),
    /// It is whole up to this many frames, and commits that were acknowledged stand behind them.
    Midst(u32),
}

impl Loss {
    /// Where it begins: frames that are whole.
    pub(super) const fn start(self) -> u32 {
        match self {
            Self::All(_) => 0,
            Self::End(whole, _) | Self::Midst(whole) => whole,
        }
    }
}

/// What is lost of a log, by its index; neither may be there.
pub(super) fn loss(index: Option<&[u8]>, log: Option<impl Read>) -> Result<Option<Loss>> {
    let index = index.and_then(Index::of).filter(|index| index.frames > 0);
    let lost_with_log = index.filter(|index| index.moved < index.frames).map(|index| Loss::All(index.frames));
    let Some(mut log) = log else { return Ok(lost_with_log) };
    let mut header = [0; LOG_HEADER];
    if !filled(&mut log, &mut header)? {
        return Ok(lost_with_log);
    }
    let Some(header) = Header::of(&header) else {
        let held = Chain::of_a_lost(&header).held(log, index)?;
        return Ok(lost_with_log.or_else(|| held.behind.then_some(Loss::Midst(0))));
    };
    // Another log's, such as the one before this: it says nothing of this one.
    let index = index.filter(|index| index.salts == header.salts);
    let held = header.chain().held(log, index)?;
    // Of one that begins with no commit SQLite takes nothing, and what it held may be in the ledger's file.
    let is_moved = |index: &Index| held.committed == 0 && index.moved == index.frames;
    Ok(match index {
        Some(index) if held.whole < index.frames && !is_moved(&index) => {
            Some(Loss::End(held.whole, index.frames))
        }
        _ => held.behind.then_some(Loss::Midst(held.whole)),
    })
}

/// Two random numbers, of which a log has others each time that it is begun anew.
type Salts = [u8; 8];

/// What the index says of the log.
#[derive(Debug, Clone, Copy)]
struct Index {
    salts: Salts,
    /// Frames that the log held when it was last written to.
    frames: u32,
    /// Frames that are in the ledger's file too.
    moved: u32,
}

impl Index {
    /// None where it is not one, is being written or has never been. Its numbers are in the machine's own order.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<INDEX_HEADER>()?;
        let (second, rest) = rest.split_first_chunk::<INDEX_HEADER>()?;
        let (moved, _) = rest.split_first_chunk::<4>()?;
        let number = |place| word(header, place).map(u32::from_ne_bytes);
        let sum = Sum::NONE.over(&header[..40], Order::NATIVE);
        let is_whole = header == second
            && number(0) == Some(VERSION)
            && header[12] == 1
            && Some(sum) == number(40).zip(number(44)).map(|(first, second)| Sum(first, second));
        let salts = header[32..].first_chunk::<8>()?;
        is_whole.then_some(Self { salts: *salts, frames: number(16)?, moved: u32::from_ne_bytes(*moved) })
    }
}

/// How a log begins.
#[derive(Debug, Clone, Copy)]
struct Header {
    order: Order,
    page: usize,
    salts: Salts,
    sum: Sum,
}

/// What the frames of a log come to.
#[derive(Debug, Default)]
struct Held {
    /// Frames in an unbroken chain from the first.
    whole: u32,
    /// Those of them up to the last commit: what SQLite would go on from.
    committed: u32,
    /// Whether two commits in one piece of chain stand behind the break.
    behind: bool,
}

impl Header {
    fn of(bytes: &[u8; LOG_HEADER]) -> Option<Self> {
        let magic = number(bytes, 0)?;
        let order = if magic & 1 == 1 { Order::Big } else { Order::Little };
        let page = number(bytes, 8)?;
        let sum = Sum::NONE.over(&bytes[..24], order);
        let is_whole = magic & !1 == MAGIC
            && number(bytes, 4)? == VERSION
            && is_page(page)
            && sum == Sum(number(bytes, 24)?, number(bytes, 28)?);
        let salts = bytes[16..].first_chunk::<8>()?;
        is_whole.then_some(Self { order, page: page as usize, salts: *salts, sum })
    }

    fn chain(&self) -> Chain {
        Chain {
            order: self.order,
            page: self.page,
            start: Some(Frame { salts: self.salts, sum: self.sum, is_commit: false }),
        }
    }
}

/// How the frames of a log follow one another.
#[derive(Debug, Clone, Copy)]
struct Chain {
    order: Order,
    page: usize,
    /// What the first of them goes on from; none where the header is none.
    start: Option<Frame>,
}

impl Chain {
    /// Of frames behind a header that is none, as SQLite writes them here unless the header still tells another length of pages.
    fn of_a_lost(header: &[u8; LOG_HEADER]) -> Self {
        let told = number(header, 8).filter(|page| is_page(*page));
        Self { order: Order::NATIVE, page: told.unwrap_or(USUAL_PAGE) as usize, start: None }
    }

    /// Reads all frames; what is lost of those that an index says were moved is lost to nobody.
    fn held(&self, mut log: impl Read, index: Option<Index>) -> Result<Held> {
        let mut held = Held::default();
        let mut bytes = vec![0; FRAME_HEADER + self.page];
        let (mut is_whole, mut before, mut commits) = (self.start.is_some(), self.start, 0);
        for place in 1.. {
            if !filled(&mut log, &mut bytes)? {
                break;
            }
            let frame = self.frame(&bytes);
            let is_next = frame.zip(before).is_some_and(|(frame, before)| {
                frame.salts == before.salts && before.sum.over_frame(&bytes, self.order) == frame.sum
            });
            let is_commit = frame.is_some_and(|frame| frame.is_commit);
            let is_moved = index
                .zip(frame)
                .is_some_and(|(index, frame)| index.salts == frame.salts && place <= index.moved);
            is_whole &= is_next;
            if is_whole {
                held.whole += 1;
                held.committed = if is_commit { held.whole } else { held.committed };
            } else {
                // What no frame before it vouches for may be torn, and a rolled back or failed write may have left a commit:
                // but not two, one of which goes on from the other.
                commits = if is_next { commits + u32::from(is_commit && !is_moved) } else { 0 };
                held.behind |= commits == 2;
            }
            before = frame;
        }
        Ok(held)
    }

    /// What a frame says of itself; none of one that an earlier log left here.
    fn frame(&self, bytes: &[u8]) -> Option<Frame> {
        let salts = *bytes.get(8..)?.first_chunk()?;
        if number(bytes, 0)? == 0 || self.start.is_some_and(|start| start.salts != salts) {
            return None;
        }
        let sum = Sum(number(bytes, 16)?, number(bytes, 20)?);
        Some(Frame { is_commit: number(bytes, 4)? != 0, salts, sum })
    }
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    is_commit: bool,
    salts: Salts,
    /// Of everything up to its end.
    sum: Sum,
}

/// Which byte of a word comes first.
#[derive(Debug, Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    const NATIVE: Self = if cfg!(target_endian = "big") { Self::Big } else { Self::Little };
}

/// The checksum of everything up to some place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    const NONE: Self = Self(0, 0);

    /// Goes on over bytes, of which there are a multiple of eight.
    fn over(self, bytes: &[u8], order: Order) -> Self {
        let (pairs, _) = bytes.as_chunks::<8>();
        let next = |Self(first, second): Self, one: u32, other: u32| {
            let first = first.wrapping_add(one).wrapping_add(second);
            Self(first, second.wrapping_add(other).wrapping_add(first))
        };
        match order {
            Order::Big => pairs.iter().fold(self, |sum, pair| {
                let pair = u64::from_be_bytes(*pair);
                next(sum, (pair >> 32) as u32, pair as u32)
            }),
            Order::Little => pairs.iter().fold(self, |sum, pair| {
                let pair = u64::from_le_bytes(*pair);
                next(sum, pair as u32, (pair >> 32) as u32)
            }),
        }
    }

    /// Goes on over a frame: what it says of its page, and the page.
    fn over_frame(self, frame: &[u8], order: Order) -> Self {
        self.over(&frame[..8], order).over(&frame[FRAME_HEADER..], order)
    }
}

fn is_page(bytes: u32) -> bool {
    bytes.is_power_of_two() && (512..=65_536).contains(&bytes)
}

fn word(bytes: &[u8], place: usize) -> Option<[u8; 4]> {
    bytes.get(place..)?.first_chunk().copied()
}

/// A number of the log, all of which are big-endian.
fn number(bytes: &[u8], place: usize) -> Option<u32> {
    word(bytes, place).map(u32::from_be_bytes)
}

/// Fills this from the log; whether there was enough.
fn filled(log: &mut impl Read, bytes: &mut [u8]) -> Result<bool> {
    match log.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
