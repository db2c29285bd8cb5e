//! What becomes of the host's interfaces: news come in, and what was built on one that went is given up, even where another
//! one looks just like it.

use std::time::Instant;

use super::{Conductor, RETRY, Stance};
use crate::clock::since_boot;
use crate::datapath::Unproven;
use crate::interfaces::{Happening, Interface};

impl Conductor {
    /// Takes in what happened to an interface.
    pub(super) fn notice(&mut self, happening: Happening) {
        // The first one is the whole list, and its consequences are drawn before anybody reads this.
        let is_first = !std::mem::replace(&mut self.progress.attached, true);
        match &happening {
            // What comes back under its old index must not look as if it had never been away: with the interface went
            // its program and the right to its NIC's seat.
            Happening::Is(interface) => {
                if self.gone.contains(&interface.index) {
                    self.settle();
                }
                let known = self.interfaces.get(interface.index);
                if let Some(known) = known.filter(|known| known.name != interface.name) {
                    self.inventory.vanish(&known.name, since_boot());
                }
                self.stirred |= self.inventory.heeds(known, interface);
            }
            Happening::Gone { index } => self.lose(*index),
            Happening::All(all) if !is_first => self.review(all),
            Happening::All(_) => {}
        }
        // Of a list, more may follow than interfaces that differ; and what was refused may be granted with anything.
        let is_list = matches!(happening, Happening::All(_));
        let is_end = matches!(happening, Happening::Gone { .. });
        let differs = self.interfaces.apply(happening);
        self.stirred |= is_list || is_end && differs || self.retry.is_some();
        self.replugged |= differs;
    }

    /// Has the programs follow the interfaces, where nothing else follows from what has changed about them.
    pub(super) fn plug(&mut self) {
        self.replugged = false;
        if self.stance == Stance::Aside || !self.progress.attached {
            return;
        }
        let mut datapath = self.datapath();
        datapath.follow(&self.interfaces);
        let incomplete = datapath.is_incomplete();
        drop(datapath);
        self.retry = incomplete.then(|| Instant::now() + RETRY);
    }

    /// An interface is gone, with its program and the right to its NIC's seat.
    fn lose(&mut self, index: u32) {
        self.gone.insert(index);
        let is_link = self.datapath().is_link(index);
        self.cut |= is_link;
        if let Some(known) = self.interfaces.get(index) {
            self.inventory.vanish(&known.name, since_boot());
        }
    }

    /// Events were lost, and `all` there is may only look like what there was. An interface that still has this daemon's
    /// program never went; every other one is taken for another.
    fn review(&mut self, all: &[Interface]) {
        let mut lost = self.interfaces.missing_from(all);
        match self.stance {
            Stance::Engaged => {
                let datapath = self.datapath();
                let Unproven { replaced, unseen } = datapath.unproven(&self.interfaces);
                drop(datapath);
                lost.extend(replaced);
                let unseen = unseen
                    .iter()
                    .filter_map(|index| self.interfaces.get(*index));
                for interface in unseen {
                    self.inventory.vanish(&interface.name, since_boot());
                }
            }
            // The one writer has the programs, and knows better who may keep a seat.
            Stance::Aside => {
                self.inventory.doubt(since_boot());
                for source in 0..self.inputs.bells.len() {
                    self.ring(source);
                }
            }
        }
        if lost.is_empty() {
            return;
        }
        for index in lost {
            self.lose(index);
            self.interfaces.apply(Happening::Gone { index });
        }
        self.settle();
    }

    /// Fails once nothing that guests send can arrive any more.
    pub(super) fn stand(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.progress.attached || !self.cut && self.datapath().is_linked(&self.interfaces),
            "the link into metad's namespace was removed: no guest can be answered\nhelp: start metad again"
        );
        Ok(())
    }
}
