//! Random faults: a share of all calls fails, in an order determined by a seed.

use super::fault::Fault;

/// Settings of random faults. Calls hit by a rule are left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Chaos {
    /// The share of failing calls, from 0 to 1.
    pub share: f64,
    /// The faults, each equally likely.
    pub faults: Vec<Fault>,
    /// The seed of the random order.
    pub seed: u64,
}

/// Random faults in progress.
#[derive(Debug)]
pub(super) struct Chance {
    chaos: Chaos,
    dice: fastrand::Rng,
}

impl Chance {
    pub(super) fn new(chaos: Chaos) -> Self {
        Self {
            dice: fastrand::Rng::with_seed(chaos.seed),
            chaos,
        }
    }

    /// The fault of the next call, if any.
    pub(super) fn strike(&mut self) -> Option<Fault> {
        let struck = self.dice.f64() < self.chaos.share;
        // Always drawn, so that the order depends on the seed alone.
        let which = self.dice.usize(..self.chaos.faults.len().max(1));
        struck.then(|| self.chaos.faults.get(which).cloned()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(seed: u64) -> Vec<Option<Fault>> {
        let mut chance = Chance::new(Chaos {
            share: 0.2,
            faults: vec![Fault::Stall, Fault::HtmlPage],
            seed,
        });
        (0..10_000).map(|_| chance.strike()).collect()
    }

    #[test]
    fn the_share_goes_wrong_in_equal_parts_and_the_seed_says_when() {
        let faults = struck(1);
        let count = |fault: &Fault| {
            faults
                .iter()
                .filter(|struck| struck.as_ref() == Some(fault))
                .count()
        };
        for fault in [Fault::Stall, Fault::HtmlPage] {
            assert!(
                (900..1100).contains(&count(&fault)),
                "{fault:?}: {}",
                count(&fault)
            );
        }
        assert_eq!(faults, struck(1));
        assert_ne!(faults, struck(2));
    }

    #[test]
    fn nothing_to_go_wrong_goes_right() {
        let nothing = Chaos {
            share: 1.0,
            faults: Vec::new(),
            seed: 1,
        };
        assert_eq!(Chance::new(nothing).strike(), None);
    }
}
