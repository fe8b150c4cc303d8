//! Rescue: on the way back, turns an error into the answer that this caller understands.

use std::convert::Infallible;
use std::rc::Rc;

use super::middleware::{Answer, Middleware, Serve};
use crate::proxy::answer::Form;
use crate::proxy::error::ProxyError;
use crate::proxy::request::Request;
use crate::proxy::worker::Worker;

/// Turns errors into answers.
#[derive(Clone, Debug)]
pub struct Rescue {
    /// Whose catalog tells how things are.
    pub worker: Rc<Worker>,
}

impl Middleware for Rescue {
    type Request = Request;
    type Error = Infallible;
    type InnerRequest = Request;
    type InnerError = ProxyError;

    fn call(&self, request: Request, inner: &mut impl Serve<Request, ProxyError>) -> Answer<Infallible> {
        let form = Form::of(request.traits);
        let (record, client) = (Rc::clone(&request.record), Rc::clone(&request.client));
        let worker = Rc::clone(&self.worker);
        let answer = inner.call(request);
        Box::pin(async move {
            let mut response = match answer.await {
                Ok(response) => response,
                Err(error) => {
                    record.reason.set(Some(error.reason()));
                    form.tell(&error, &record, &worker)
                }
            };
            // Whoever gave it: a caller that relies on a header finds it with every answer.
            if let Some(answering) = record.answering.take() {
                answering.apply(response.headers_mut(), &client, &record);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, Service as _};

    use super::*;
    use crate::proxy::layer::bed::{Bed, Played, answer};
    use crate::proxy::layer::middleware::Wrap;

    #[tokio::test]
    async fn errors_become_answers_and_answers_stay() {
        let bed = Bed::new();
        let inner = Played::<Request, ProxyError>::new();
        let mut rescue = Wrap(Rescue { worker: Rc::clone(&bed.worker) }).layer(inner.clone());
        for (answered, status, reason) in
            [(Ok(answer(404)), 404, None), (Err(ProxyError::Loop), 508, Some("loop"))]
        {
            inner.then(|_| answered);
            let routed = bed.get();
            let record = Rc::clone(&routed.record);
            let request = Request {
                message: routed.message,
                traits: routed.traits,
                client: routed.client,
                record: routed.record,
            };
            let response = rescue.call(request).await.unwrap();
            assert_eq!((response.status().as_u16(), record.reason.get()), (status, reason));
            assert_eq!(response.headers().contains_key("proxy-status"), reason.is_some());
        }
    }
}
