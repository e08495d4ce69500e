//! A worker: takes up jobs and runs until it is asked to stop.
//!
//! ```text
//!   open the factory ──► wait while it is away ──► ... ; then
//!   one thread:    take up jobs, settle what others left ──► wait ──► ...
//!   N lanes each:  claim ──► carry out ──► tell ──► claim ...; nothing to do, or the ledger is away ──► wait
//! ```
//!
//! Flows in: jobs and runs, from the store and the ledger. Flows out: what became of each, told as it happens.
//! Invariants: a run that fails, with whatever code, does not stop the worker; what cannot be mended by waiting, such as
//! a damaged ledger or a missing key, does, and so do, until it was let in once, refused credentials, a database that is
//! not there and a ledger that can only be read; asked to stop, a worker finishes what it holds and claims nothing more.
//!
//! Waits grow while nothing happens and are spread by a generator keyed by the worker's name, so that workers that
//! started together do not ask together. How long a run that failed rests is the ledger's business.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::{NonZeroU16, NonZeroUsize},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use contracts::{
    Checked, Code, Digest, Failure, Result, identity::ids::TrainRunId, job::JobInvocation, names::Name,
    names::ObjectKey, run_config::RunConfig,
};
use kernels::Rng;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{
    Factory, Place,
    clock::{Stop, StopOnLeaving},
    jobs::Taken,
    line::Line,
    watch::Watch,
};

pub use crate::work::Worked;

/// Seconds of the first wait for work.
const FIRST_WAIT: f64 = 0.1;
/// Seconds of the longest wait for work, before it is spread.
const LONGEST_WAIT: f64 = 4.0;

/// How long a worker that waits for an answer does not look whether it was asked to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// What a worker is told to be.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Under which it claims; with several lanes each has a number behind it.
    pub name: Name,
    /// Whose jobs it takes up.
    pub config: RunConfig,
    /// How many runs it carries out at the same time.
    pub lanes: NonZeroU16,
    /// Threads that each of them computes on; none leaves it to the process-wide pool.
    pub threads: Option<NonZeroUsize>,
}

/// What a worker did or met.
#[derive(Debug)]
pub enum News {
    /// A job was answered.
    Job(ObjectKey, Box<Checked<JobInvocation>>),
    /// A run was carried out as far as it went, or something stopped it. Each run that was claimed is told.
    Run(Box<Worked>),
    /// Something was away, or a job was left; the worker goes on.
    Trouble(Failure),
}

impl Worker {
    /// Opens the factory at a place, which is waited for while store or ledger are away, and works there as [`serve`]
    /// does. Asked to stop, it waits for no answer of either.
    ///
    /// Fails with what waiting cannot mend, at once: a place of another form, `STORE_UNSUITABLE`, a store or ledger that
    /// refuses who asks, and the like.
    ///
    /// [`serve`]: Self::serve
    pub fn serve_at(
        &self,
        place: &Place,
        stop: &Stop,
        watch: &dyn Watch,
        news: &mpsc::Sender<News>,
    ) -> Result<()> {
        let mut waits = Waits::of(&self.name, "opening");
        while !stop.is_asked() {
            match opened(place, stop) {
                None => break,
                Some(Ok(factory)) => return self.serve(factory.line(), stop, watch, news),
                Some(Err(failure)) if failure.retryable() => {
                    if news.send(News::Trouble(failure)).is_err() {
                        break;
                    }
                    stop.wait(waits.next());
                }
                Some(Err(failure)) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Works until `stop` is asked. What happens is sent to `news`; a receiver that is gone is asking to stop.
    ///
    /// Fails with what waiting cannot mend: `SIGNING_KEY_UNAVAILABLE`, `LEDGER_CORRUPT`, and the like.
    pub fn serve(
        &self,
        line: &Line,
        stop: &Stop,
        watch: &dyn Watch,
        news: &mpsc::Sender<News>,
    ) -> Result<()> {
        line.keys.require_signer()?;
        let shift = Shift { worker: self, line, stop, watch, news, failed: Mutex::new(None) };
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut house = House::default();
                shift.go_on("house", |waits| shift.keep_house(&mut house, waits));
            });
            for lane in 1..=self.lanes.get() {
                let shift = &shift;
                scope.spawn(move || shift.run_lane(lane));
            }
        });
        let failed = shift.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or(Ok(()), Err)
    }
}

/// What the threads of a worker share.
struct Shift<'a> {
    worker: &'a Worker,
    line: &'a Line,
    stop: &'a Stop,
    watch: &'a dyn Watch,
    news: &'a mpsc::Sender<News>,
    failed: Mutex<Option<Failure>>,
}

impl Shift<'_> {
    fn tell(&self, news: News) {
        let sent = self.news.send(news);
        if sent.is_err() {
            self.stop.ask();
        }
    }

    /// Carries on with `work` until asked to stop; a failure that waiting cannot mend stops the whole worker.
    fn go_on(&self, name: &str, mut work: impl FnMut(&mut Waits) -> Result<()>) {
        // A thread that panics takes the others with it, so that its defect is seen.
        let _leaving = StopOnLeaving(self.stop);
        let mut waits = Waits::of(&self.worker.name, name);
        let mut let_in = false;
        while !self.stop.is_asked() {
            match work(&mut waits) {
                Ok(()) => let_in = true,
                // Who was let in before waits, also where refusals last: what was taken away may be given back.
                Err(failure) if failure.retryable() || (let_in && failure.code.retryable()) => {
                    self.tell(News::Trouble(failure));
                }
                Err(failure) => {
                    self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                    self.stop.ask();
                }
            }
            self.stop.wait(waits.next());
        }
    }

    fn run_lane(&self, lane: u16) {
        let Worker { name, lanes, threads, .. } = self.worker;
        let begun = (|| {
            let name = if lanes.get() == 1 { name.clone() } else { Name::new(format!("{name}.{lane}"))? };
            Ok((name, threads.map(pool_of).transpose()?))
        })();
        self.go_on(&format!("lane {lane}"), |waits| {
            let (name, pool) = begun.as_ref().map_err(Failure::clone)?;
            while !self.stop.is_asked() {
                let take = || self.line.take(name, None, self.watch);
                let taken = pool.as_ref().map_or_else(take, |pool| pool.install(take))?;
                let Some(worked) = taken else { return Ok(()) };
                // The next run would meet it too.
                let damage = worked.failure.clone().filter(|failure| failure.code == Code::LedgerCorrupt);
                self.tell(News::Run(Box::new(worked)));
                damage.map_or(Ok(()), Err)?;
                waits.start_over();
            }
            Ok(())
        });
    }

    fn keep_house(&self, house: &mut House, waits: &mut Waits) -> Result<()> {
        self.line.take_up(&self.worker.config, |job, taken| {
            match taken {
                Taken::Answered(receipt) => {
                    self.tell(News::Job(job.clone(), receipt));
                    waits.start_over();
                }
                // Seen at each look, and news once.
                Taken::Left(failure) => {
                    if house.left.insert((job.clone(), failure.detail.clone())) {
                        self.tell(News::Trouble(failure));
                    }
                }
            }
            !self.stop.is_asked()
        })?;
        self.line.settle_lately(&mut house.settled)
    }
}

/// What opening a factory came to; none where somebody asked to stop meanwhile. Servers may take long to answer, or not
/// to: the thread that asks them is left behind, and holds nothing.
fn opened(place: &Place, stop: &Stop) -> Option<Result<Factory>> {
    let (send, opened) = mpsc::channel();
    let place = place.clone();
    let begun = thread::Builder::new().spawn(move || drop(send.send(Factory::open(&place))));
    if begun.is_err() {
        return Some(Err(Failure::new(Code::ResourceExhausted, "the system gives no more threads")));
    }
    while !stop.is_asked() {
        match opened.recv_timeout(GLANCE) {
            Ok(opened) => return Some(opened),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Some(Err(Failure::new(Code::InternalError, "opening the factory ended early")));
            }
        }
    }
    None
}

fn pool_of(threads: NonZeroUsize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(threads.get())
        .build()
        .map_err(|_| Failure::new(Code::ResourceExhausted, "the system gives no more threads"))
}

/// What the thread remembers that takes up jobs and writes the receipts that workers that died left undone.
#[derive(Default)]
struct House {
    /// Jobs that were left, and what was said of them.
    left: BTreeSet<(ObjectKey, String)>,
    /// Runs that have their receipts, with how many events they had.
    settled: BTreeMap<TrainRunId, u64>,
}

/// How long to wait for something to happen: longer each time, until something does.
struct Waits {
    spread: Rng,
    count: u64,
    seconds: f64,
}

impl Waits {
    fn of(worker: &Name, thread: &str) -> Self {
        let seed = Digest::<Name>::of(format!("{worker} {thread}").as_bytes());
        Self { spread: Rng::from_seed(*seed.as_bytes()), count: 0, seconds: FIRST_WAIT }
    }

    fn start_over(&mut self) {
        self.seconds = FIRST_WAIT;
    }

    /// Seconds to wait now: from half of the wait to half as much again.
    fn next(&mut self) -> f64 {
        let wait = self.seconds * (0.5 + self.spread.uniform(0, self.count));
        self.count += 1;
        self.seconds = (self.seconds * 2.0).min(LONGEST_WAIT);
        wait
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn waits_grow_to_a_bound_are_spread_and_start_over() {
        let waits = |name| {
            let mut waits = Waits::of(&Name::new(name).unwrap(), "lane 1");
            let first: Vec<_> = (0..12).map(|_| waits.next()).collect();
            waits.start_over();
            (first, waits.next())
        };
        let (one, anew) = waits("worker-1");
        for (index, wait) in one.iter().enumerate() {
            let middle = (FIRST_WAIT * f64::from(1_u32 << index)).min(LONGEST_WAIT);
            assert!((0.5 * middle..1.5 * middle).contains(wait), "{index}: {wait}");
        }
        assert!(anew < 1.5 * FIRST_WAIT);
        assert_eq!(one, waits("worker-1").0);
        assert_ne!(one, waits("worker-2").0);
    }
}
