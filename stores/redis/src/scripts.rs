//! The scripts that a server executes: one for each call, each atomic.
//!
//! Scripts are addressed by their content, so two builds run side by side on one server during a
//! rolling upgrade. A script that fails half-way keeps what it wrote, so each checks everything
//! before its first write.

use std::sync::LazyLock;

use redis::Script;

/// The scripts.
pub(crate) struct Scripts {
    pub(crate) create: Script,
    pub(crate) read: Script,
    pub(crate) save: Script,
    pub(crate) touch: Script,
    pub(crate) set_timeouts: Script,
    pub(crate) rotate: Script,
    pub(crate) retire: Script,
    pub(crate) end: Script,
    pub(crate) end_if_unchanged: Script,
    pub(crate) user_ids: Script,
    pub(crate) end_all: Script,
    pub(crate) revoke: Script,
    pub(crate) revocations: Script,
    pub(crate) heartbeat: Script,
}

/// The scripts, hashed once.
pub(crate) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    create: script("", include_str!("scripts/create.lua")),
    read: script(" flags=no-writes", include_str!("scripts/read.lua")),
    save: script("", include_str!("scripts/save.lua")),
    touch: script(ALLOW_OOM, include_str!("scripts/touch.lua")),
    set_timeouts: script("", include_str!("scripts/set_timeouts.lua")),
    rotate: script("", include_str!("scripts/rotate.lua")),
    retire: script(ALLOW_OOM, include_str!("scripts/retire.lua")),
    end: script(ALLOW_OOM, include_str!("scripts/end.lua")),
    end_if_unchanged: script(ALLOW_OOM, include_str!("scripts/end_if_unchanged.lua")),
    user_ids: script(ALLOW_OOM, include_str!("scripts/user_ids.lua")),
    end_all: script(ALLOW_OOM, include_str!("scripts/end_all.lua")),
    revoke: script(ALLOW_OOM, include_str!("scripts/revoke.lua")),
    revocations: script(" flags=no-writes", include_str!("scripts/revocations.lua")),
    heartbeat: script(ALLOW_OOM, include_str!("scripts/heartbeat.lua")),
});

impl Scripts {
    /// Returns all scripts, to load them.
    pub(crate) fn all(&self) -> [&Script; 14] {
        [
            &self.create,
            &self.read,
            &self.save,
            &self.touch,
            &self.set_timeouts,
            &self.rotate,
            &self.retire,
            &self.end,
            &self.end_if_unchanged,
            &self.user_ids,
            &self.end_all,
            &self.revoke,
            &self.revocations,
            &self.heartbeat,
        ]
    }
}

/// An end frees memory, so it must run when there is none left. So must a retirement, which is
/// repeated after a failover before the store is up, a revocation, which is the end of a token, and
/// the heartbeat, on which the lease depends. A touch takes no memory, because the key has a time
/// to live already. Without it, sessions in use would expire while the server is full.
const ALLOW_OOM: &str = " flags=allow-oom";

fn script(flags: &str, body: &str) -> Script {
    let prelude = include_str!("scripts/prelude.lua");
    Script::new(&format!("#!lua{flags}\n{prelude}{body}"))
}
