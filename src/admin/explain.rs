//! `GET /explain`: where a request would go, or went, and why.

use std::net::IpAddr;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State as From};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;

use super::State;
use super::answer::Refusal;
use crate::proxy::MemoirDocument;
use crate::proxy::explain::{Explanation, Question};

/// What may be asked.
const USAGE: &str = "ask /explain?method=GET&url=http://greeter/hello&header=x-user:ann, where header may be repeated, and \
                     client=IP, service=NAME (as a listener bound to it), trusted=false and draw=HEX may be added; or \
                     /explain/ and the id of a request";

/// The most headers of one question.
const HEADERS_MAX: usize = 100;

pub(super) async fn explain(
    From(state): From<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<Explanation>, Refusal> {
    let question = question(query.as_deref().unwrap_or_default());
    let question = question.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error, USAGE))?;
    Ok(Json(state.explainer.explain(&question)))
}

pub(super) async fn past(
    From(state): From<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<MemoirDocument>, Refusal> {
    let Path(id) = id.map_err(|error| Refusal::new(error.status(), error.body_text(), USAGE))?;
    let remembered = state.explainer.past(&id).map(Json);
    remembered.map_err(|forgotten| Refusal::new(StatusCode::NOT_FOUND, forgotten.why, forgotten.cure))
}

/// What a query asks.
fn question(query: &str) -> Result<Question, String> {
    let (mut url, mut method) = (None, Method::GET);
    let (mut headers, mut client, mut bound, mut trusted, mut draw) =
        (HeaderMap::new(), None, None, true, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = value.replace('+', " ");
        let value = percent_decode_str(&value).decode_utf8().map_err(|_| format!("{name} is no UTF-8"))?;
        let wrong = |what: &str| format!("{name} is {value:?}, which is {what}");
        match name {
            "url" => url = Some(value.parse::<Uri>().map_err(|error| wrong(&format!("no URL: {error}")))?),
            "method" => method = value.parse().map_err(|_| wrong("no method"))?,
            "header" => {
                let (name, value) = header(&value).ok_or_else(|| wrong("no header, such as x-user:ann"))?;
                if headers.len() == HEADERS_MAX {
                    return Err(format!("there are more than {HEADERS_MAX} headers"));
                }
                headers.append(name, value);
            }
            "client" => client = Some(value.parse::<IpAddr>().map_err(|_| wrong("no IP address"))?),
            "service" => bound = Some(value.parse().map_err(|_| wrong("no name of a service"))?),
            "trusted" => trusted = value.parse().map_err(|_| wrong("neither true nor false"))?,
            "draw" => {
                draw = Some(u64::from_str_radix(&value, 16).map_err(|_| wrong("no hexadecimal number"))?)
            }
            _ => return Err(format!("there is no parameter {name:?}")),
        }
    }
    let url = url.ok_or("there is no url")?;
    Ok(Question { method, url, headers, client, bound, trusted, draw })
}

fn header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read() {
        let query = "method=POST&url=http%3A%2F%2Fgreeter%2Fhello%3Fa%3Db&header=X-A:+1&header=x-a:2\
                     &client=10.0.0.1&service=svc&trusted=false&draw=ff";
        let Question { method, url, headers, client, bound, trusted, draw } = question(query).unwrap();
        assert_eq!((method, url.to_string().as_str()), (Method::POST, "http://greeter/hello?a=b"));
        assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((client, trusted, draw), (Some([10, 0, 0, 1].into()), false, Some(255)));
        assert_eq!(bound.unwrap().as_str(), "svc");
    }

    #[test]
    fn what_cannot_be_asked_is_named() {
        let error = |query: &str| question(query).unwrap_err();
        assert_eq!(error(""), "there is no url");
        assert_eq!(error("url=/&header=x"), "header is \"x\", which is no header, such as x-user:ann");
        assert_eq!(error("url=/&drwa=1"), "there is no parameter \"drwa\"");
        assert_eq!(error("url=/&draw=zz"), "draw is \"zz\", which is no hexadecimal number");
        assert!(error("url=http://a b").starts_with("url is \"http://a b\", which is no URL: "));
    }
}
