//! What a layer costs a request without a cookie that never looks at its session, in process.
//!
//! The service behind answers at once, so what is left when its own time is taken off is the layer's; making
//! the request and dropping the response is in both. A request that axum's router has passed on has
//! something in its extensions already, and so have these.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use axum::body::Body;
use http::{Request, Response};
use sessile_tower::SessionLayer;
use tower_layer::Layer;
use tower_service::Service;

use super::{COOKIE, ours, theirs};
use crate::{
    Plan,
    contender::nanos_each,
    report::{Report, Table, Target, VERDICT, blank, figure},
    rounds::{self, Entrant},
};

/// One table: each layer over the bare service.
pub(crate) fn run(plan: &Plan, report: &mut Report) {
    let (requests, bare) = (plan.unlooked, "no layer");
    let cache = ours::cache();
    let samples = rounds::run(
        vec![
            entrant(bare, Bare, requests),
            entrant(ours::NAME, SessionLayer::new(cache.clone()).layer(Bare), requests),
            entrant(theirs::MEMORY, theirs::memory().layer(Bare), requests),
        ],
        plan.rounds,
    );
    assert!(cache.is_empty(), "a request that stores nothing has stored something");
    let base = rounds::named(&samples, bare);
    let theirs = rounds::named(&samples, theirs::MEMORY).least() - base.least();
    let mut table = Table::new(&["", "min", "median", "min over no layer", VERDICT]);
    for sample in &samples {
        let over = sample.least() - base.least();
        let verdict = match sample.name == ours::NAME {
            true => Target::AtMost(0.05).verdict(over / theirs, "× tower-sessions"),
            false => blank(),
        };
        let [least, median, over] =
            [sample.least(), sample.median(), over].map(|nanos| figure(nanos, 1));
        table.row([sample.name.clone(), least, median, over, verdict]);
    }
    report.heading("axum: a request without a cookie that touches no session, in process, ns");
    report.table(&table);
}

fn entrant<'a, S>(name: &'a str, mut service: S, requests: usize) -> Entrant<'a>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + 'a,
{
    let response = answer(&mut service);
    assert!(response.headers().is_empty(), "{name}: nothing to say, and a {COOKIE} was said");
    Entrant::new(name, move || {
        let start = Instant::now();
        for _ in 0..requests {
            black_box(answer(&mut service));
        }
        nanos_each(start.elapsed(), requests)
    })
}

#[inline(always)]
fn answer<S>(service: &mut S) -> S::Response
where
    S: Service<Request<Body>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(Routed(Vec::new()));
    let mut response = pin!(service.call(black_box(request)));
    match response.as_mut().poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        _ => unreachable!("the service behind is ready at once, and so is what is before it"),
    }
}

/// What axum's router leaves: the parameters of the path, none here.
#[derive(Clone)]
struct Routed(#[expect(dead_code, reason = "only its size matters")] Vec<usize>);

#[derive(Clone)]
struct Bare;

impl Service<Request<Body>> for Bare {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Body::empty())))
    }
}
