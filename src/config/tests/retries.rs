//! What a service or a route says of its retries over what holds in general.

use super::*;
use crate::route::{Hedge, Retries};

#[test]
fn a_route_says_more_than_its_service_and_that_more_than_the_rest() {
    let file = format!(
        r#"
        {REGISTRY}
        [retries]
        max = 2
        statuses = [503]
        budget_percent = 50
        [[service]]
        name = "a"
        hedge = "p99"
        idempotent = true
        [[service]]
        name = "b"
        [[route]]
        service = "a"
        path = "/of-service"
        [[route]]
        service = "a"
        path = "/own"
        retries = 1
        hedge = "off"
        retry_statuses = [502, 504]
        idempotent = false
        [[route]]
        service = "c"
        hedge = "20ms"
        "#
    );
    let config = read(None, &file, &Overrides::default()).unwrap();
    let general = Retries { max: 2, statuses: [503].into(), ..Retries::default() };
    let general = Retries { allowance: crate::catalog::Allowance { percent: 50, per_second: 10 }, ..general };
    let of_a = Retries { hedge: Some(Hedge::Percentile(99)), harmless: true, ..general.clone() };
    let naming = config.routes.naming();
    assert_eq!(naming.rules.limits.retries, general);
    let declared =
        |name: &str| naming.declared[&name.parse::<crate::provider::ServiceName>().unwrap()].rules.clone();
    assert_eq!((&declared("a").limits.retries, &declared("b").limits.retries), (&of_a, &general));
    let [of_service, own, of_c] = config.routes.routes() else { panic!("there are three routes") };
    assert_eq!(of_service.rules.limits.retries, of_a);
    let expected = Retries { max: 1, statuses: [502, 504].into(), ..general.clone() };
    assert_eq!(own.rules.limits.retries, expected);
    let expected = Retries { hedge: Some(Hedge::After(Duration::from_millis(20))), ..general };
    assert_eq!(of_c.rules.limits.retries, expected);
}
