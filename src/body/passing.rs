//! Bodies that pass from socket to socket: nobody here sees their bytes, but counts them and learns of their end.

use std::task::{Context, Poll, ready};

use super::{Body, BodyError, Content, Source};
use crate::http1::{Pass, Pipe};

impl Body {
    /// How a body passes where it can.
    pub const PASS: Pass<Self> = Pass { can: Self::passes, poll: Self::poll_pass };

    fn passes(&mut self) -> bool {
        self.passing().is_some()
    }

    /// What is passed on, where nobody wants to see it.
    fn passing(&mut self) -> Option<&mut Content> {
        let content = self.0.as_deref_mut()?;
        let is_seen = content.tap.is_some() || content.pulse.is_some();
        let Source::Stream(incoming) = &mut content.source else { return None };
        (!is_seen && incoming.passing().is_some()).then_some(content)
    }

    fn poll_pass(
        &mut self,
        pipe: &mut Pipe,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<usize>, BodyError>> {
        let Some(content) = self.passing() else { return Poll::Ready(Ok(None)) };
        let Source::Stream(incoming) = &mut content.source else { return Poll::Ready(Ok(None)) };
        let Some(received) = incoming.passing() else { return Poll::Ready(Ok(None)) };
        let passed = ready!(received.poll_pass(pipe, most, cx));
        match &passed {
            Ok(count) => {
                content.bytes += count.unwrap_or(0) as u64;
                if content.source.is_empty() {
                    content.source = Source::Empty;
                    content.end(true, false);
                }
            }
            Err(_) => content.end(false, true),
        }
        Poll::Ready(passed.map_err(Into::into))
    }
}

#[cfg(test)]
mod tests;
