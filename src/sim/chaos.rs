//! Faults by chance: a given share of all calls goes wrong, in an order that follows from a seed.

use super::fault::Fault;

/// How calls go wrong by chance. Calls that a rule strikes are left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Chaos {
    /// The share of calls that go wrong, 0 to 1.
    pub share: f64,
    /// What goes wrong with them, each as often as the others.
    pub faults: Vec<Fault>,
    /// Where the order of chance begins.
    pub seed: u64,
}

/// The chance that is at work.
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

    /// What strikes the next call, if anything does.
    pub(super) fn strike(&mut self) -> Option<Fault> {
        let struck = self.dice.f64() < self.chaos.share;
        // The second throw is made in any case, so that the order depends on the seed alone.
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
