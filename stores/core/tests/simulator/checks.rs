//! Facts that hold once all faults are over.

use crate::{
    requests::{NAMES, Request},
    schedule::{Kind, LIMIT, NODES, Schedule},
};

/// Starts the checks that hold once all faults are over.
pub fn check_all(schedule: &Schedule) {
    let count = schedule.state().lineages.len();
    for node in 0..NODES {
        for lineage in 0..count {
            let request = Request::new(schedule, node);
            let owner = request.owner;
            let work = async move { request.check_final(lineage).await };
            schedule.0.world.spawn(owner, Box::pin(work));
        }
        let request = Request::new(schedule, node);
        let owner = request.owner;
        let work = async move { request.check_users().await };
        schedule.0.world.spawn(owner, Box::pin(work));
    }
}

impl Request {
    /// Once all faults are over, ended sessions are ended, and calm ones have what was saved last.
    async fn check_final(&self, lineage: usize) {
        let health = self.cache.store_health();
        if health.state != sessile_store::StoreState::Up || health.ends_queued > 0 {
            self.schedule
                .violate(&format!("not well after all faults: {health:?}"));
        }
        let tokens = self.change(lineage, |lineage| lineage.tokens.clone());
        for token in tokens {
            let (is_ended, is_closed) = self.change(lineage, |lineage| {
                let is_closed = lineage.closed_by(&token).is_some();
                (lineage.is_ended_for(&token), is_closed)
            });
            let opened = self.open_with(lineage, &token).await;
            if is_ended && opened.is_some() {
                self.schedule.violate(&format!(
                    "lineage {lineage} was ended and is open at the end"
                ));
            }
            if is_closed && opened.is_some() {
                self.schedule.violate(&format!(
                    "lineage {lineage} is opened at the end by a token from before a sign-in"
                ));
            }
        }
    }

    /// The list of a user contains every session that opens, and without faults no other.
    async fn check_users(&self) {
        for (user, name) in NAMES.iter().enumerate() {
            let Ok(listed) = self.cache.user_sessions(name).await else {
                self.schedule.violate("no list after all faults");
                continue;
            };
            let listed: Vec<_> = listed.iter().map(|info| info.handle).collect();
            let mut open = Vec::new();
            for (lineage, _) in self.bound_to(user) {
                let token = self.change(lineage, |lineage| lineage.tokens.last().copied());
                let Some(token) = token else { continue };
                if let Some((_, record, _)) = self.open_with(lineage, &token).await {
                    open.push(record.handle());
                }
            }
            if open.iter().any(|handle| !listed.contains(handle)) {
                self.schedule
                    .violate("a session that opens is not in its user's list");
            }
            if self.schedule.0.plan.kind == Kind::Quiet && listed.len() > LIMIT {
                self.schedule
                    .violate(&format!("a user has {} sessions", listed.len()));
            }
        }
    }
}
