//! The memory of the server that a session takes beyond its data.

use sessile::{CreateOptions, UserInfo};

use super::{DATA_LEN, node, server::Server};
use crate::{
    Plan,
    report::{Report, Table, count, figure},
};

pub(super) fn run(plan: &Plan, server: &Server, name: &str, report: &mut Report) {
    let mut table = Table::new(&["session", "bytes beyond its data"]);
    for (what, per_user) in [
        ("anonymous", 0),
        ("of a user with 1 session", 1),
        ("of a user with 3 sessions", 3),
    ] {
        let bytes = measure(plan.kept, per_user, server);
        table.row([what.to_owned(), figure(bytes, 0)]);
    }
    let sessions = count(plan.kept);
    report.heading(&format!(
        "store: bytes on {name}, {sessions} sessions of {DATA_LEN} bytes, used_memory"
    ));
    report.table(&table);
}

/// Creates sessions, and returns what each costs. `per_user` is the number of sessions of one user,
/// or 0 for anonymous ones.
fn measure(sessions: usize, per_user: usize, server: &Server) -> f64 {
    server.flush();
    let node = node(&server.url());
    let verbs = node.blocking();
    let before = server.used_memory();
    for number in 0..sessions {
        let data = [7; DATA_LEN];
        let issued = match number.checked_div(per_user) {
            None => verbs.create(&data),
            Some(user) => {
                let user = format!("user {user}");
                let options = CreateOptions::new().user(UserInfo::new(&user));
                verbs.create_with(&data, options)
            }
        };
        issued.expect("the store is up");
    }
    let used = server.used_memory() - before;
    used / sessions as f64 - DATA_LEN as f64
}
