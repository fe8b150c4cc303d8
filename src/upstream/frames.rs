//! Where in the sequence of HTTP/2 frames a peer is (RFC 9113, 3.4 and 4.1), as far as it says what is late or too much.

/// Bytes that a client begins with, before any frame.
const PREFACE: usize = 24;
/// Bytes before the payload of each frame.
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows the frames of a peer, without a look at what they carry. Whether they may come in this order is for others to say.
#[derive(Debug)]
pub struct Frames {
    /// Bytes still to come before the next frame: of the preface, or of a payload.
    left: usize,
    /// As much of the next frame's head as is there.
    head: [u8; HEAD],
    has: usize,
    /// Whether the preface or the first frame, or the fields of a message, are not complete.
    within: bool,
    /// Whether they are once the present frame is.
    completes: bool,
    /// Frames since they were last forgotten that carry nothing of a message.
    empty: u32,
    /// Those that do.
    full: u32,
}

/// Frames in a second that carry nothing of a message, beyond those that what is sent and received gives cause for.
const EMPTY_MAX: u32 = 10_000;
/// For each frame that carries something, so many may come that do not: pings that measure, and the like.
const PER_FULL: u32 = 4;
/// For so many bytes written, one may come: windows are opened again.
const BYTES_PER_EMPTY: u64 = 256;

/// What bytes have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Whether something has begun that the connection cannot go on without, and is not complete.
    pub is_within: bool,
    /// Whether something of that kind was completed meanwhile.
    pub has_completed: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self::of_client()
    }
}

impl Frames {
    /// Those of a client, which says a preface first.
    pub const fn of_client() -> Self {
        Self { left: PREFACE, ..Self::of_server() }
    }

    /// Those of a server.
    pub const fn of_server() -> Self {
        Self { left: 0, head: [0; HEAD], has: 0, within: true, completes: false, empty: 0, full: 0 }
    }

    /// Takes note of what came next.
    pub fn see(&mut self, mut bytes: &[u8]) -> Progress {
        let mut has_completed = false;
        while !bytes.is_empty() {
            let passed = self.left.min(bytes.len());
            self.left -= passed;
            bytes = &bytes[passed..];
            has_completed |= self.end_frame();
            let taken = (HEAD - self.has).min(bytes.len());
            self.head[self.has..self.has + taken].copy_from_slice(&bytes[..taken]);
            self.has += taken;
            bytes = &bytes[taken..];
            if self.has == HEAD {
                self.begin_frame();
                // There may be nothing behind its head.
                has_completed |= self.end_frame();
            }
        }
        Progress { is_within: self.within, has_completed }
    }

    /// Whether so many have come that it is time to see how long that took.
    pub const fn are_many(&self) -> bool {
        self.empty.saturating_add(self.full) >= EMPTY_MAX
    }

    /// Whether more has come that carries nothing than there is cause for, when so many bytes were written since frames were last
    /// forgotten. The library is busy with each for a while, and others wait meanwhile.
    pub fn are_too_many(&self, written: u64) -> bool {
        let cause = u64::from(self.full) * u64::from(PER_FULL) + written / BYTES_PER_EMPTY;
        u64::from(self.empty) > u64::from(EMPTY_MAX) + cause
    }

    /// Begins to count anew.
    pub const fn forget(&mut self) {
        (self.empty, self.full) = (0, 0);
    }

    /// Whether the end of a frame is there, and something complete with it.
    const fn end_frame(&mut self) -> bool {
        let completes = self.left == 0 && self.completes;
        if completes {
            (self.within, self.completes) = (false, false);
        }
        completes
    }

    fn begin_frame(&mut self) {
        self.has = 0;
        let [high, middle, low, kind, flags, ..] = self.head;
        self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
        let carries_fields = kind == HEADERS || kind == CONTINUATION;
        let count =
            if carries_fields || kind == DATA && self.left > 0 { &mut self.full } else { &mut self.empty };
        *count = count.saturating_add(1);
        // The first frame is the peer's settings; anything else is refused elsewhere.
        self.completes = self.within;
        if carries_fields {
            self.within = true;
            self.completes = flags & END_HEADERS != 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], &vec![0; usize::from(length)]].concat()
    }

    /// What holds after each byte.
    fn seen(bytes: &[u8]) -> Vec<bool> {
        let mut frames = Frames::of_client();
        bytes.iter().map(|byte| frames.see(&[*byte]).is_within).collect()
    }

    #[test]
    fn fields_are_complete_with_the_last_byte_of_their_last_frame() {
        let bytes =
            [&[0; PREFACE][..], &frame(4, 0, 2), &frame(HEADERS, 0, 1), &frame(CONTINUATION, END_HEADERS, 1)]
                .concat();
        let within = seen(&bytes);
        let settings = PREFACE + HEAD + 2;
        assert!(within[..settings - 1].iter().all(|within| *within));
        assert!(within[settings - 1..settings + HEAD - 1].iter().all(|within| !within), "a head may idle");
        assert!(within[settings + HEAD - 1..bytes.len() - 1].iter().all(|within| *within));
        assert_eq!(within.last(), Some(&false));
    }

    #[test]
    fn what_is_completed_is_told_though_more_has_begun() {
        let mut frames = Frames::of_server();
        let head = frame(HEADERS, END_HEADERS, 4);
        let progress = |is_within, has_completed| Progress { is_within, has_completed };
        assert_eq!(frames.see(&frame(4, 0, 6)), progress(false, true), "settings");
        assert_eq!(frames.see(&head[..HEAD]), progress(true, false));
        assert_eq!(frames.see(&[&head[HEAD..], &head[..HEAD]].concat()), progress(true, true));
        assert_eq!(frames.see(&head[HEAD..]), progress(false, true));
        assert_eq!(frames.see(&frame(6, 0, 8)), progress(false, false));
    }

    #[test]
    fn what_carries_nothing_needs_a_cause() {
        let after = |empty: u32, full: u32, written: u64| {
            let mut frames = Frames::of_client();
            frames.see(&[0; PREFACE]);
            for _ in 0..empty {
                frames.see(&frame(6, 0, 8));
            }
            for _ in 0..full {
                frames.see(&frame(DATA, 0, 1));
            }
            let too_many = frames.are_too_many(written);
            assert_eq!(frames.are_many(), empty + full >= EMPTY_MAX);
            frames.forget();
            assert!(!frames.are_too_many(0));
            too_many
        };
        assert!(!after(EMPTY_MAX, 0, 0) && after(EMPTY_MAX + 1, 0, 0));
        assert!(!after(EMPTY_MAX + 40, 10, 0) && after(EMPTY_MAX + 41, 10, 0));
        assert!(!after(EMPTY_MAX + 4, 0, 1024) && after(EMPTY_MAX + 5, 0, 1024));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_bytes_come(
            frames in proptest::collection::vec((prop_oneof![Just(0_u8), Just(1), Just(4), Just(9)], prop_oneof![Just(0_u8), Just(4), Just(5)], 0_u8..40), 0..8),
            cut in 0_usize..400,
        ) {
            let frames = frames.into_iter().flat_map(|(kind, flags, length)| frame(kind, flags, length));
            let bytes: Vec<u8> = [0; PREFACE].into_iter().chain(frames).collect();
            let cut = cut.min(bytes.len());
            let mut pieces = Frames::of_client();
            let mut last = pieces.see(&bytes[..cut]).is_within;
            if cut < bytes.len() {
                last = pieces.see(&bytes[cut..]).is_within;
            }
            let one_by_one = seen(&bytes);
            prop_assert_eq!(Some(&last), one_by_one.last());
        }
    }
}
