//! Seeded card payments to try the build line on: no real person, card or shop stands behind them.
//!
//! ```text
//!   customers (place, budget, habits) ──┐
//!   terminals (place) ──────────────────┼─► payments by time ──► labels that arrive late
//!   stolen cards, compromised terminals ┘
//! ```
//!
//! Fraud is of three kinds, so that a model needs the window features and their interplay. At a *compromised
//! terminal* most payments are fraudulent for some weeks and look like any other. A *stolen card* is first
//! tried with tiny amounts, then emptied with amounts far above its owner's habit. Labels become known days
//! later; a few frauds are first taken for genuine and corrected afterwards.
//!
//! The idea of profiles, nearby terminals and compromise spells is that of the public card fraud simulators;
//! design and numbers are our own. Every number is a function of the seed and of what it is drawn for, through
//! [`Rng`] and [`crate::math`] alone: the same on any machine.

use contracts::{Code, Failure, Result};

use crate::{
    math::{exp, ln},
    rng::Rng,
};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2024-01-01T00:00:00Z.
const START: i64 = 1_704_067_200 * SECOND;
/// Terminals that a customer uses at home.
const NEARBY: usize = 8;
/// Every payment is judged after this time, unless somebody complains earlier.
const JUDGED: i64 = 7 * DAY;
/// Most payments of a customer in a day.
const DAILY_MOST: u64 = 32;

/// How much to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Number of customers, each with one card.
    pub customers: u32,
    /// Number of terminals.
    pub terminals: u32,
    /// Number of days from 2024-01-01.
    pub days: u32,
}

impl Default for Scale {
    /// About sixty thousand payments, one or two in a hundred fraudulent.
    fn default() -> Self {
        Self { customers: 800, terminals: 300, days: 75 }
    }
}

/// Simulated payments as columns, by time; the event id is the position.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Payments {
    /// Position of the payment.
    pub event_id: Vec<i64>,
    /// Nanoseconds since the epoch, whole seconds.
    pub time: Vec<i64>,
    /// Customer number from 0.
    pub customer: Vec<i64>,
    /// Terminal number from 0.
    pub terminal: Vec<i64>,
    /// Amount with two decimals, at least 0.01.
    pub amount: Vec<f64>,
    /// The truth, which nobody knows at the time.
    pub fraud: Vec<bool>,
    /// Nanoseconds until the truth is known, corrections included.
    pub report_delay: Vec<i64>,
    /// What is asserted about the payments, and when.
    pub labels: Labels,
}

/// The timeline of label assertions as columns, by payment and time of observation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The payment that the assertion speaks about.
    pub event_id: Vec<i64>,
    /// Whether it is said to be fraudulent.
    pub fraud: Vec<bool>,
    /// When the fact became true: the time of the payment.
    pub effective_time: Vec<i64>,
    /// When it became known.
    pub observed_time: Vec<i64>,
}

/// What a draw is for: one stream of the generator each.
#[derive(Clone, Copy)]
enum Draw {
    CustomerPlace,
    TerminalPlace,
    Budget,
    Activity,
    Habit,
    Hour,
    Arrivals,
    Terminal,
    Travel,
    Amount,
    Second,
    Night,
    TerminalSpell,
    CardSpell,
    AtTerminal,
    OnCard,
    Trial,
    Report,
    Correction,
}

/// Draws for one simulation.
#[derive(Clone, Copy)]
struct Dice(Rng);

impl Dice {
    fn uniform(self, draw: Draw, index: u64) -> f64 {
        self.0.uniform(draw as u64, index)
    }

    fn below(self, draw: Draw, index: u64, bound: usize) -> usize {
        self.0.below(draw as u64, index, bound as u64) as usize
    }

    fn happens(self, draw: Draw, index: u64, probability: f64) -> bool {
        self.uniform(draw, index) < probability
    }

    /// Nearly standard normal: twelve uniforms (Irwin and Hall).
    fn normal(self, draw: Draw, index: u64) -> f64 {
        (0..12).fold(-6.0, |sum, part| sum + self.uniform(draw, index * 12 + part))
    }

    /// Poisson by multiplying uniforms (Knuth), at most [`DAILY_MOST`].
    fn poisson(self, draw: Draw, index: u64, mean: f64) -> u64 {
        let floor = exp(-mean);
        let mut product = 1.0;
        let arrives = |&part: &u64| {
            product *= self.uniform(draw, index * DAILY_MOST + part);
            product > floor
        };
        (0..DAILY_MOST).take_while(arrives).count() as u64
    }
}

/// What a customer does.
struct Customer {
    /// Logarithm of the usual amount.
    budget: f64,
    /// Spread of that logarithm.
    habit: f64,
    /// Payments a day.
    activity: f64,
    /// Favourite time of day, in seconds.
    hour: f64,
    /// Terminals near home, the nearest first.
    nearby: Vec<usize>,
}

/// The phase of a card on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    Owned,
    /// Stolen and tried with tiny amounts.
    Tried,
    /// Stolen and emptied.
    Emptied,
}

/// One payment before it has its position.
struct Row {
    /// What its draws are keyed by.
    index: u64,
    time: i64,
    customer: u64,
    terminal: usize,
    amount: f64,
    fraud: bool,
}

/// Simulates payments. Refuses a scale without customers, terminals or days with `PARAMETER_INVALID`.
pub fn payments(scale: Scale, rng: Rng) -> Result<Payments> {
    for (name, value) in
        [("customers", scale.customers), ("terminals", scale.terminals), ("days", scale.days)]
    {
        if value == 0 {
            return Err(Failure::at(Code::ParameterInvalid, name, "at least 1", "0"));
        }
    }
    let dice = Dice(rng);
    let days = u64::from(scale.days);
    let terminals = 0..u64::from(scale.terminals);
    let places: Vec<_> = terminals.clone().map(|number| dice.place(Draw::TerminalPlace, number)).collect();
    let compromised: Vec<_> = terminals.map(|number| dice.terminal_days(number, days)).collect();
    let mut rows = Vec::new();
    for number in 0..u64::from(scale.customers) {
        let customer = dice.customer(number, &places);
        for (day, &card) in (0..).zip(&dice.card_days(number, days)) {
            let slot = number * days + day;
            let extra = if card == Card::Owned { 0.0 } else { 2.0 };
            for part in 0..dice.poisson(Draw::Arrivals, slot, customer.activity + extra) {
                let index = slot * DAILY_MOST + part;
                let terminal = dice.terminal(index, &customer, places.len());
                let trap = compromised[terminal][day as usize] && dice.happens(Draw::AtTerminal, index, 0.7);
                let thief = card != Card::Owned && dice.happens(Draw::OnCard, index, 0.7);
                let amount = dice.amount(index, &customer, if thief { card } else { Card::Owned });
                let time = START + day as i64 * DAY + dice.second(index, &customer, thief) * SECOND;
                rows.push(Row { index, time, customer: number, terminal, amount, fraud: trap || thief });
            }
        }
    }
    rows.sort_unstable_by_key(|row| (row.time, row.index));
    Ok(columns(dice, &rows))
}

impl Dice {
    /// A place on a square of side 1.
    fn place(self, draw: Draw, number: u64) -> (f64, f64) {
        (self.uniform(draw, 2 * number), self.uniform(draw, 2 * number + 1))
    }

    fn customer(self, number: u64, places: &[(f64, f64)]) -> Customer {
        let home = self.place(Draw::CustomerPlace, number);
        let distance = |terminal: usize| {
            let (x, y) = (places[terminal].0 - home.0, places[terminal].1 - home.1);
            x * x + y * y
        };
        let mut nearby: Vec<_> = (0..places.len()).collect();
        nearby.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        nearby.truncate(NEARBY);
        Customer {
            budget: ln(6.0) + ln(40.0) * self.uniform(Draw::Budget, number),
            habit: 0.3 + 0.4 * self.uniform(Draw::Habit, number),
            activity: 0.2 + 1.6 * self.uniform(Draw::Activity, number),
            hour: 14.0 * 3_600.0 + 7_200.0 * self.normal(Draw::Hour, number),
            nearby,
        }
    }

    /// Whether a terminal is compromised on each day: spells of two to four weeks.
    fn terminal_days(self, number: u64, days: u64) -> Vec<bool> {
        let mut left = 0;
        let day = |day| {
            let index = number * days + day;
            if left > 0 {
                left -= 1;
            } else if self.happens(Draw::TerminalSpell, 2 * index, 0.0004) {
                left = 14 + self.below(Draw::TerminalSpell, 2 * index + 1, 15);
            }
            left > 0
        };
        (0..days).map(day).collect()
    }

    /// The phase of a card on each day: three days of trial, then five of emptying.
    fn card_days(self, number: u64, days: u64) -> Vec<Card> {
        let mut left = 0;
        let day = |day| {
            if left > 0 {
                left -= 1;
            } else if self.happens(Draw::CardSpell, number * days + day, 0.0005) {
                left = 8;
            }
            match left {
                0 => Card::Owned,
                6.. => Card::Tried,
                _ => Card::Emptied,
            }
        };
        (0..days).map(day).collect()
    }

    /// A terminal near home, the nearest most often; one payment in twenty is made anywhere.
    fn terminal(self, index: u64, customer: &Customer, terminals: usize) -> usize {
        if self.happens(Draw::Travel, 2 * index, 0.05) {
            return self.below(Draw::Travel, 2 * index + 1, terminals);
        }
        let skewed = self.uniform(Draw::Terminal, index);
        customer.nearby[(skewed * skewed * customer.nearby.len() as f64) as usize]
    }

    /// An amount in whole cents; a thief tries with tiny ones, then takes several times the usual.
    fn amount(self, index: u64, customer: &Customer, card: Card) -> f64 {
        let usual = exp(customer.budget + customer.habit * self.normal(Draw::Amount, index));
        let amount = match card {
            Card::Owned => usual,
            Card::Tried => 0.5 + 2.0 * self.uniform(Draw::Trial, index),
            Card::Emptied => usual * (2.5 + 2.0 * self.uniform(Draw::Trial, index)),
        };
        (amount * 100.0).round().max(1.0) / 100.0
    }

    /// A second of the day, around the customer's favourite hour; thieves also work at night.
    fn second(self, index: u64, customer: &Customer, thief: bool) -> i64 {
        if thief && self.happens(Draw::Night, 2 * index, 0.5) {
            return (6.0 * 3_600.0 * self.uniform(Draw::Night, 2 * index + 1)) as i64;
        }
        let second = customer.hour + 12_000.0 * self.normal(Draw::Second, index);
        (second as i64).rem_euclid(86_400)
    }
}

/// Numbers the payments and lays out what becomes known of them.
fn columns(dice: Dice, rows: &[Row]) -> Payments {
    let mut payments = Payments::default();
    for (event_id, row) in (0..).zip(rows) {
        let mut judge = |fraud: bool, delay: i64| {
            payments.labels.event_id.push(event_id);
            payments.labels.fraud.push(fraud);
            payments.labels.effective_time.push(row.time);
            payments.labels.observed_time.push(row.time + delay);
        };
        let missed = row.fraud && dice.happens(Draw::Correction, 2 * row.index, 0.04);
        let delay = if missed {
            judge(false, JUDGED);
            JUDGED + days(1.0 + 13.0 * dice.uniform(Draw::Correction, 2 * row.index + 1))
        } else if row.fraud {
            days(1.0 + 6.0 * dice.uniform(Draw::Report, row.index))
        } else {
            JUDGED
        };
        judge(row.fraud, delay);
        payments.event_id.push(event_id);
        payments.time.push(row.time);
        payments.customer.push(row.customer as i64);
        payments.terminal.push(row.terminal as i64);
        payments.amount.push(row.amount);
        payments.fraud.push(row.fraud);
        payments.report_delay.push(delay);
    }
    payments
}

/// A number of days, in nanoseconds of whole seconds.
fn days(number: f64) -> i64 {
    (number * 86_400.0) as i64 * SECOND
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp)]

    use super::*;

    fn demo(seed: u64) -> Payments {
        payments(Scale::default(), Rng::from_u64(seed)).unwrap()
    }

    #[test]
    fn any_seed_gives_payments_of_the_promised_size_and_share_of_fraud() {
        for seed in 0..5 {
            let found = demo(seed);
            let rows = found.event_id.len();
            let frauds = found.fraud.iter().filter(|&&fraud| fraud).count();
            assert!((50_000..75_000).contains(&rows), "{rows}");
            assert!((10..22).contains(&(frauds * 1_000 / rows)), "{frauds} of {rows}");
            assert!(found.time.is_sorted() && found.event_id.iter().zip(0..).all(|(&id, place)| id == place));
            assert!(
                found
                    .amount
                    .iter()
                    .all(|&amount| amount >= 0.01 && (amount * 100.0).round() / 100.0 == amount)
            );
            assert!(found.terminal.iter().all(|&terminal| (0..300).contains(&terminal)));
        }
    }

    #[test]
    fn the_seed_decides_everything() {
        assert_eq!(demo(1), demo(1));
        assert_ne!(demo(1).amount, demo(2).amount);
    }

    #[test]
    fn times_stay_within_the_days_and_one_terminal_is_enough() {
        let scale = Scale { customers: 3, terminals: 1, days: 400 };
        let found = payments(scale, Rng::from_u64(1)).unwrap();
        assert!(found.time.iter().all(|&time| (START..START + 400 * DAY).contains(&time)));
        assert!(found.terminal.iter().all(|&terminal| terminal == 0));
    }

    #[test]
    fn every_payment_is_judged_in_time_and_the_last_word_is_the_truth() {
        let found = demo(1);
        let labels = &found.labels;
        let mut last = vec![None; found.event_id.len()];
        for (place, &event) in labels.event_id.iter().enumerate() {
            let event = event as usize;
            assert_eq!(labels.effective_time[place], found.time[event]);
            let delay = labels.observed_time[place] - found.time[event];
            assert!((DAY..=21 * DAY).contains(&delay));
            assert!(last[event].is_none_or(|(_, earlier)| earlier < delay));
            last[event] = Some((labels.fraud[place], delay));
        }
        for (event, last) in last.into_iter().enumerate() {
            assert_eq!(last, Some((found.fraud[event], found.report_delay[event])));
        }
        let corrected = labels.event_id.len() - found.event_id.len();
        assert!((5..100).contains(&corrected), "{corrected}");
    }

    #[test]
    fn a_scale_of_nothing_is_refused() {
        for scale in [
            Scale { customers: 0, ..Scale::default() },
            Scale { terminals: 0, ..Scale::default() },
            Scale { days: 0, ..Scale::default() },
        ] {
            assert_eq!(payments(scale, Rng::from_u64(0)).unwrap_err().code, Code::ParameterInvalid);
        }
    }

    /// Seed 1, digit by digit: what a machine with another libm must give as well.
    #[test]
    fn known_answer() {
        let found = demo(1);
        let digest = found
            .amount
            .iter()
            .fold(0_u64, |sum, amount| sum.wrapping_mul(31).wrapping_add(amount.to_bits()));
        assert_eq!(
            (found.event_id.len(), found.time[0], digest),
            (60_758, 1_704_068_808_000_000_000, 634_834_041_345_579_105)
        );
    }
}
