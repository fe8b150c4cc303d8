//! Sticky: with the answer, gives a session the cookie that holds its endpoint.

use std::rc::Rc;

use http::header::SET_COOKIE;

use super::middleware::{Answer, Middleware, Serve};
use crate::balance::Wish;
use crate::proxy::error::ProxyError;
use crate::proxy::forwarded::came_securely;
use crate::proxy::request::Routed;
use crate::proxy::worker::Worker;
use crate::route::Held;

/// Holds sessions together.
#[derive(Clone, Debug)]
pub struct Sticky {
    /// Whose metrics.
    pub worker: Rc<Worker>,
}

impl Middleware for Sticky {
    type Request = Routed;
    type Error = ProxyError;
    type InnerRequest = Routed;
    type InnerError = ProxyError;

    fn call(&self, routed: Routed, inner: &mut impl Serve<Routed, ProxyError>) -> Answer<ProxyError> {
        let Some(sticky) = routed.rules.sticky.clone() else { return inner.call(routed) };
        let held = match routed.wish.as_deref() {
            Some(Wish::Prefer(token)) => Some(*token),
            None => None,
            // Who asks for a provider once does not move the session there.
            Some(Wish::Only(_) | Wish::Such { .. }) => return inner.call(routed),
        };
        let secure = came_securely(routed.message.headers(), &routed.client);
        let record = Rc::clone(&routed.record);
        let worker = Rc::clone(&self.worker);
        let answer = inner.call(routed);
        Box::pin(async move {
            let mut response = answer.await?;
            let token = record.target.borrow().as_ref().map(|target| target.memory.token);
            if let Some(token) = token.filter(|token| held != Some(*token)) {
                let mark = record.part.borrow().as_ref().map(|part| part.mark());
                response.headers_mut().append(SET_COOKIE, sticky.set(Held { token, mark }, secure));
                worker.shared.metrics.traffic.sticky_moves_total.inc();
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::endpoint::Token;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::middleware::Wrap;
    use crate::proxy::record::Target;
    use crate::route;

    /// What an answer of `127.0.0.1:1` sets, to a request with this wish.
    async fn set(wish: Option<Wish>, proto: &str) -> Option<String> {
        let mut bed = Bed::new();
        bed.rules.sticky = Some(Arc::new(route::Sticky { cookie: "w".into(), ttl: None, path: "/".into() }));
        let memory = Arc::clone(&bed.list(&[1])[0].memory);
        let inner = Played::new();
        inner.then(move |routed: Routed| {
            let bound = Rc::clone(&routed.bound);
            routed.record.target.replace(Some(Target { memory, bound, provider: None }));
            Ok(answer(500))
        });
        let routed = bed.routed(http::Request::get("/").header("x-forwarded-proto", proto));
        let routed = Routed { wish: wish.map(Box::new), ..routed };
        let mut sticky = Wrap(Sticky { worker: Rc::clone(&bed.worker) }).layer(inner);
        let response = sticky.call(routed).await.unwrap();
        let set = response.headers().get(SET_COOKIE).map(|set| set.to_str().unwrap().to_owned());
        assert_eq!(bed.metrics().traffic.sticky_moves_total.get(), u64::from(set.is_some()));
        set
    }

    #[tokio::test]
    async fn a_session_is_told_where_it_is_when_that_is_news() {
        let token = |port: u16| Token::of(&format!("127.0.0.1:{port}").parse().unwrap());
        let news = format!("w={}; Path=/; HttpOnly; SameSite=Lax", token(1));
        assert_eq!(set(None, "http").await, Some(news.clone()));
        assert_eq!(set(None, "HTTPS, http").await, Some(format!("{news}; Secure")));
        assert_eq!(set(Some(Wish::Prefer(token(2))), "http").await, Some(news));
        assert_eq!(set(Some(Wish::Prefer(token(1))), "http").await, None);
        assert_eq!(set(Some(Wish::only("127.0.0.1:1")), "http").await, None);
    }

    #[tokio::test]
    async fn what_is_not_to_be_held_together_is_left_alone() {
        let bed = Bed::new();
        let inner = Played::new();
        inner.then(|_| Ok(answer(200)));
        let mut sticky = Wrap(Sticky { worker: Rc::clone(&bed.worker) }).layer(inner);
        assert!(sticky.call(bed.get()).await.unwrap().headers().is_empty());
    }
}
