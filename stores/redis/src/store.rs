//! The calls of the trait: arguments to a script, and its reply.

use std::{sync::Arc, time::Duration};

use redis::Value;
use sessile::{SessionId, SessionLimitPolicy, UserHash, Version};
use sessile_store::{
    Abilities, BoxFuture, Created, Ended, Heartbeat, Lifetime, NewAlias, NewRecord, NewTimeouts,
    Proposal, Revocation, RevocationPage, Rewrite, Rotated, ServerTime, Sink, Store, StoreError,
    StoredData, StoredRecord, UserIds,
    record::{Header, KIND_SESSION, decode_target, encode_target, parse_id, to_ticks},
};

use crate::{Lane, RedisStore, keys::hex, scripts::SCRIPTS, watch};

impl Store for RedisStore {
    fn abilities(&self) -> Abilities {
        Abilities {
            push: true,
            user_index: true,
            session_limit: true,
            revocations: true,
        }
    }

    fn read(&self, id: SessionId) -> BoxFuture<'_, Result<Option<StoredRecord>, StoreError>> {
        Box::pin(async move {
            let key = self.0.keys.record(&id);
            let reply = self.call(Lane::Reads, &SCRIPTS.read, |call| {
                call.key(key);
            });
            let reply: Option<(Vec<u8>, i64, u64)> = match reply.await {
                // A key of another type is not a record: it decodes to an error, and is counted.
                Err(StoreError::Gone) => Some((Vec::new(), 0, 0)),
                reply => reply?,
            };
            Ok(reply.map(|(bytes, millis, now)| StoredRecord {
                bytes: bytes.into(),
                expires_in: Duration::from_millis(millis.max(0) as u64),
                now: ServerTime(now),
            }))
        })
    }

    fn create<'a>(
        &'a self,
        new: &'a NewRecord<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Created, StoreError>> {
        Box::pin(async move {
            let lane = match new.user {
                Some(_) => Lane::Replicated,
                None => Lane::Writes,
            };
            let call = self.call(lane, &SCRIPTS.create, |call| {
                self.create_arguments(call, new, not_after);
            });
            let (now, ended): (u64, Option<Vec<u8>>) = call.await?;
            let ended = ended.and_then(|digits| parse_digits(&digits, new.id.place()));
            Ok(Created {
                now: ServerTime(now),
                ended,
            })
        })
    }

    fn save<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        data: StoredData<'a>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Writes, &SCRIPTS.save, |call| {
                call.key(self.0.keys.record(&id))
                    .arg(not_after.0)
                    .arg(self.channel(&id))
                    .arg(&version(expected))
                    .arg(&version(next))
                    .arg(u8::from(data.is_encrypted))
                    .arg(data.bytes);
            });
            call.await.map(ServerTime)
        })
    }

    fn touch<'a>(
        &'a self,
        batch: &'a [(SessionId, Duration)],
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Writes, &SCRIPTS.touch, |call| {
                for (id, _) in batch {
                    call.key(self.0.keys.record(id));
                }
                call.arg(not_after.0);
                for (_, since) in batch {
                    call.arg(millis(*since));
                }
            });
            let replies: Vec<u8> = call.await?;
            Ok(replies.into_iter().map(|reply| reply == 1).collect())
        })
    }

    fn set_timeouts<'a>(
        &'a self,
        id: SessionId,
        expected: Version,
        next: Version,
        timeouts: NewTimeouts,
        data: Option<StoredData<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Writes, &SCRIPTS.set_timeouts, |call| {
                call.key(self.0.keys.record(&id))
                    .arg(not_after.0)
                    .arg(self.channel(&id))
                    .arg(&version(expected))
                    .arg(&version(next))
                    .arg(&to_ticks(timeouts.idle_timeout).to_le_bytes())
                    .arg(timeouts.end.0);
                if let Some(data) = data {
                    call.arg(u8::from(data.is_encrypted)).arg(data.bytes);
                }
            });
            call.await.map(ServerTime)
        })
    }

    fn rotate<'a>(
        &'a self,
        id: SessionId,
        alias: NewAlias,
        rewrite: Option<Rewrite<'a>>,
        not_after: ServerTime,
    ) -> BoxFuture<'a, Result<Rotated, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Writes, &SCRIPTS.rotate, |call| {
                call.key(self.0.keys.record(&id))
                    .key(self.0.keys.record(&alias.target))
                    .arg(not_after.0)
                    .arg(self.channel(&id))
                    .arg(&encode_target(&alias.target))
                    .arg(millis(alias.grace))
                    .arg(millis(alias.remember));
                if let Some(rewrite) = rewrite {
                    call.arg(&version(rewrite.expected))
                        .arg(&version(rewrite.next))
                        .arg(u8::from(rewrite.data.is_encrypted))
                        .arg(rewrite.data.bytes);
                }
            });
            let (now, bytes): (u64, Vec<u8>) = call.await?;
            let bytes = bytes.try_into().map_err(|_| unexpected())?;
            Ok(Rotated {
                now: ServerTime(now),
                version: Version::new(u32::from_le_bytes(bytes)),
            })
        })
    }

    fn retire(
        &self,
        id: SessionId,
        expected: Option<Version>,
        alias: NewAlias,
        not_after: ServerTime,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Replicated, &SCRIPTS.retire, |call| {
                call.key(self.0.keys.record(&id))
                    .arg(not_after.0)
                    .arg(self.channel(&id));
                match expected {
                    Some(expected) => call.arg(&version(expected)),
                    None => call.arg(""),
                };
                call.arg(&encode_target(&alias.target))
                    .arg(millis(alias.grace))
                    .arg(millis(alias.remember));
            });
            call.await.map(ServerTime)
        })
    }

    fn end(&self, id: SessionId) -> BoxFuture<'_, Result<Ended, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Replicated, &SCRIPTS.end, |call| {
                call.key(self.0.keys.record(&id)).arg(self.channel(&id));
            });
            match call.await {
                Ok(Value::Int(0)) | Err(StoreError::Gone) => Ok(Ended::Absent),
                Ok(Value::Int(1)) => Ok(Ended::Session),
                Ok(Value::BulkString(target)) => {
                    let target = decode_target(&target).ok_or_else(unexpected)?;
                    Ok(Ended::Alias(target))
                }
                Ok(_) => Err(unexpected()),
                Err(error) => Err(error),
            }
        })
    }

    fn end_if_unchanged(
        &self,
        id: SessionId,
        expected: Version,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Replicated, &SCRIPTS.end_if_unchanged, |call| {
                call.key(self.0.keys.record(&id))
                    .arg(self.channel(&id))
                    .arg(&version(expected));
            });
            call.await.map(ServerTime)
        })
    }

    fn user_ids(
        &self,
        user: UserHash,
        up_to: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<UserIds, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Reads, &SCRIPTS.user_ids, |call| {
                call.key(self.0.keys.user(&user));
                match up_to {
                    Some(up_to) => call.arg(up_to.0),
                    None => call.arg(""),
                };
                call.arg(MAX_USER_IDS);
            });
            let (up_to, more, ids): (u64, u8, Vec<Vec<u8>>) = call.await?;
            let ids = ids.iter();
            Ok(UserIds {
                ids: ids
                    .filter_map(|digits| parse_digits(digits, user.place()))
                    .collect(),
                up_to: ServerTime(up_to),
                more: more == 1,
            })
        })
    }

    fn end_all(
        &self,
        at_least: Option<ServerTime>,
    ) -> BoxFuture<'_, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Replicated, &SCRIPTS.end_all, |call| {
                call.key(self.0.keys.meta());
                match at_least {
                    Some(at_least) => call.arg(at_least.0),
                    None => call.arg(""),
                };
                call.arg(self.0.keys.channel(0));
            });
            call.await.map(ServerTime)
        })
    }

    fn revoke<'a>(
        &'a self,
        revocations: &'a [Revocation],
    ) -> BoxFuture<'a, Result<ServerTime, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Replicated, &SCRIPTS.revoke, |call| {
                call.key(self.0.keys.revocations())
                    .arg(self.0.keys.channel(0));
                for revocation in revocations {
                    call.arg(&revocation.to_bytes());
                }
            });
            call.await.map(ServerTime).map_err(of_revocations)
        })
    }

    fn revocations(&self, cursor: u64) -> BoxFuture<'_, Result<RevocationPage, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Reads, &SCRIPTS.revocations, |call| {
                call.key(self.0.keys.revocations())
                    .arg(cursor)
                    .arg(REVOCATIONS_PER_PAGE);
            });
            let (next, bytes): (u64, Vec<u8>) = call.await.map_err(of_revocations)?;
            let (encoded, _) = bytes.as_chunks();
            Ok(RevocationPage {
                revocations: encoded.iter().map(Revocation::from_bytes).collect(),
                next: (next != 0).then_some(next),
            })
        })
    }

    fn watch(&self, sink: Arc<dyn Sink>, timeout: Duration) -> BoxFuture<'_, StoreError> {
        Box::pin(watch::watch(self, sink, timeout))
    }

    fn heartbeat<'a>(
        &'a self,
        proposal: &'a Proposal,
    ) -> BoxFuture<'a, Result<Heartbeat, StoreError>> {
        Box::pin(async move {
            let call = self.call(Lane::Channel, &SCRIPTS.heartbeat, |call| {
                call.key(self.0.keys.meta())
                    .arg(&proposal.epoch)
                    .arg(&proposal.user_key);
                for fingerprint in &proposal.key_fingerprints {
                    call.arg(fingerprint);
                }
            });
            let (epoch, user_key, prints, ended_before, now): HeartbeatReply = call.await?;
            let (key_fingerprints, _) = prints.as_chunks();
            Ok(Heartbeat {
                epoch: epoch.try_into().map_err(|_| unexpected())?,
                user_key: user_key.try_into().map_err(|_| unexpected())?,
                key_fingerprints: key_fingerprints.to_vec(),
                ended_before: ServerTime(ended_before),
                now: ServerTime(now),
            })
        })
    }
}

type HeartbeatReply = (Vec<u8>, Vec<u8>, Vec<u8>, u64, u64);

impl RedisStore {
    fn create_arguments(
        &self,
        call: &mut redis::ScriptInvocation<'_>,
        new: &NewRecord<'_>,
        not_after: ServerTime,
    ) {
        let header = Header::new(new, ServerTime(0));
        let prefix = header.encode_prefix(KIND_SESSION, new.label.len() as u8);
        call.key(self.0.keys.record(&new.id));
        if let Some(user) = &new.user {
            call.key(self.0.keys.user(user));
        }
        call.arg(not_after.0)
            .arg(self.channel(&new.id))
            .arg(&prefix)
            .arg(&new.user.map_or([0; 16], |user| user.to_bytes()))
            .arg(new.label)
            .arg(new.data.bytes);
        match new.lifetime {
            Lifetime::New(lifetime) => call.arg("").arg("").arg(millis(lifetime)),
            Lifetime::Renewed { created, lifetime } => {
                call.arg(created.0).arg("").arg(millis(lifetime))
            }
            Lifetime::Continued { created, end, .. } => call.arg(created.0).arg(end.0).arg(0),
        };
        let policy = match new.limit.policy {
            SessionLimitPolicy::Reject => "reject",
            _ => "end",
        };
        call.arg(millis(new.idle_timeout))
            .arg(new.limit.max.unwrap_or(0))
            .arg(policy)
            .arg(millis(new.limit.longest_lifetime))
            .arg(
                new.replaces
                    .map(|id| hex(&id.to_bytes()))
                    .unwrap_or_default(),
            );
    }

    fn channel(&self, id: &SessionId) -> String {
        self.0.keys.channel(id.partition())
    }
}

/// Returns the id that an entry of a user's index names.
fn parse_digits(digits: &[u8], place: u16) -> Option<SessionId> {
    parse_id(digits.try_into().ok()?, place)
}

fn version(version: Version) -> [u8; 4] {
    version.get().to_le_bytes()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis())
        .unwrap_or(u64::MAX)
        .min(ServerTime::MAX.0)
}

fn unexpected() -> StoreError {
    StoreError::Unreachable("the server sent a reply of another shape".into())
}

/// A key of another type under the name of the revocations is not an absent session.
fn of_revocations(error: StoreError) -> StoreError {
    match error {
        StoreError::Gone => {
            let text =
                "the key of the revocations, `{00}:r` after the prefix, must be a sorted set";
            StoreError::Unreachable(text.into())
        }
        error => error,
    }
}

/// The number of revocations that a page has about.
const REVOCATIONS_PER_PAGE: usize = 1_000;
/// The most ids that one call lists.
const MAX_USER_IDS: usize = 1_000;
