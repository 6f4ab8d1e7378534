//! The cost of sessions for a request without a cookie that never accesses its session, in process,
//! through axum's router.
//!
//! All figures include creating the request and dropping the response. For a layer around routes,
//! axum allocates several times per request whatever the layer does. Therefore an empty layer is
//! measured too.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, Uri, header::HOST};
use tower_service::Service;

use super::{COOKIE, peer_routes, plain, sessile_routes};
use crate::{
    Plan,
    contender::nanos_each,
    report::{Report, Table, Target, VERDICT, blank, figure},
    rounds::{self, Entrant, Sample},
};

/// Writes one table: each contender compared with no sessions, and with an empty layer.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    let requests = plan.unlooked;
    let [cache, other] = [sessile_routes::cache(), sessile_routes::cache()];
    let samples = rounds::run(
        vec![
            entrant(plain::NAME, ready(plain::routes()), requests),
            entrant(plain::LAYERED, ready(plain::layered_routes()), requests),
            entrant(
                sessile_routes::NAME,
                ready(sessile_routes::routes(cache.clone())),
                requests,
            ),
            entrant(
                sessile_routes::AROUND,
                sessile_routes::around(other.clone()),
                requests,
            ),
            entrant(
                peer_routes::MEMORY,
                ready(peer_routes::routes(peer_routes::memory())),
                requests,
            ),
        ],
        ROUNDS * plan.rounds,
    );
    for cache in [cache, other] {
        assert!(
            cache.is_empty(),
            "a request without a session must not store one"
        );
    }
    report.heading("axum: a request without a cookie that touches no session, in process, ns");
    report.table(&table(&samples));
}

/// Factor on the plan's requests: the difference is a few ns in some hundreds.
const ROUNDS: usize = 5;

/// A layer around the routes is compared with an empty layer, a layer around the router with no
/// layer. The cost of layers in axum is not the sessions'.
fn table(samples: &[Sample]) -> Table {
    let [none, empty] = [plain::NAME, plain::LAYERED].map(|name| rounds::named(samples, name));
    let over = |sample: &Sample, base: &Sample| sample.min() - base.min();
    let peer = rounds::named(samples, peer_routes::MEMORY);
    let mut table = Table::new(&[
        "",
        "min",
        "median",
        "over none",
        "over an empty layer",
        VERDICT,
    ]);
    for sample in samples {
        let verdict = |base| {
            let share = over(sample, base) / over(peer, base);
            Target::AtMost(0.4).verdict(share, "× tower-sessions")
        };
        table.row([
            sample.name.clone(),
            figure(sample.min(), 1),
            figure(sample.median(), 1),
            figure(over(sample, none), 1),
            figure(over(sample, empty), 1),
            match sample.name.as_str() {
                sessile_routes::NAME => verdict(empty),
                sessile_routes::AROUND => verdict(none),
                _ => blank(),
            },
        ]);
    }
    table
}

/// Does as `axum::serve`; otherwise each route would be rebuilt for each request.
fn ready(router: Router) -> Router {
    router.with_state(())
}

fn entrant<'a, S>(name: &'a str, mut service: S, requests: usize) -> Entrant<'a>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + 'a,
{
    let response = answer(&mut service);
    assert_eq!(response.status(), 200, "{name}");
    for header in ["set-cookie", "vary"] {
        assert!(
            !response.headers().contains_key(header),
            "{name}: nothing to say of a {COOKIE}"
        );
    }
    Entrant::new(name, move || {
        let start = Instant::now();
        for _ in 0..requests {
            black_box(answer(&mut service));
        }
        nanos_each(start.elapsed(), requests)
    })
}

fn answer<S>(service: &mut S) -> S::Response
where
    S: Service<Request<Body>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static("/none");
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_static("localhost"));
    let mut response = pin!(service.call(black_box(request)));
    match response.as_mut().poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        _ => unreachable!("no future here is pending"),
    }
}
