//! Ends that nodes know of, and assert again after a failover if they live.

use std::{collections::HashSet, time::Duration};

use sessile::SessionId;
use sessile_store::Created;

use crate::{
    executor::Owner,
    model::Lineage,
    schedule::{Schedule, State},
};

/// The ends that one node knows of.
#[derive(Default)]
pub struct KnownEnds {
    /// The ids whose end was sent.
    sent: HashSet<[u8; 16]>,
    /// The ids of which the node learned that the store ended them at the limit.
    at_limit: HashSet<[u8; 16]>,
    /// Those of them that the model has not taken, with the times.
    untaken: Vec<(Duration, SessionId)>,
}

impl KnownEnds {
    /// Records that the end of an id is sent.
    pub fn send(&mut self, id: SessionId) {
        self.sent.insert(id.to_bytes());
    }

    /// Takes the reply to a creation on the side of the node.
    pub fn take(&mut self, created: Created, now: Duration) {
        let Some(id) = created.ended else { return };
        self.at_limit.insert(id.to_bytes());
        self.untaken.push((now, id));
    }
}

impl Schedule {
    /// Returns the node that asserts an end of a user's session again: the one that listed and
    /// ended it, or the one at whose sign-in it ended. None does if it expired early by a step of
    /// the clock.
    pub fn ender(&self, lister: (usize, Owner), id: &SessionId) -> Option<Owner> {
        let (node, owner) = lister;
        let id = id.to_bytes();
        if self.0.networks[node].ends(|ends| ends.sent.contains(&id)) {
            return Some(owner);
        }
        let state = self.state();
        let mut nodes = state.nodes.iter().zip(&self.0.networks);
        let at_limit = nodes.find(|(_, network)| network.ends(|ends| ends.at_limit.contains(&id)));
        match at_limit {
            Some((node, _)) => Some(node.owner),
            None => (!state.is_set_forward).then_some(NO_NODE),
        }
    }

    /// Records the ends at the limit that nodes have learned of.
    pub fn take_limit_ends(&self) {
        let mut state = self.state();
        let State {
            nodes, lineages, ..
        } = &mut *state;
        for (node, network) in nodes.iter().zip(&self.0.networks) {
            for (at, id) in network.ends(|ends| std::mem::take(&mut ends.untaken)) {
                let token = node.cache.l1().sign(&id);
                let of_token = |lineage: &&mut Lineage| lineage.tokens.contains(&token);
                if let Some(lineage) = lineages.iter_mut().find(of_token) {
                    lineage.end_at_limit(token, at, node.owner);
                }
            }
        }
    }
}

/// The owner of an end that no node asserts again.
pub const NO_NODE: Owner = Owner::MAX;
