//! The line that a mistake stands in, shown without what could be a secret.

use super::edits::{VEIL, is_telltale};
use super::file::without_mark;

/// A line of a text with a mark below its column; nothing where the text has no such line.
///
/// Nothing is shown behind a key that speaks of credentials, and no text that speaks of them itself, as URLs with a user do. What no key
/// stands before, as in a list of several lines, could be part of a secret: of that only numbers and flags are shown, and texts that the
/// message repeats, since messages are careful of secrets.
pub(super) fn excerpt(text: &str, line: usize, column: usize, message: &str) -> String {
    let Some(written) = without_mark(text).lines().nth(line.saturating_sub(1)) else { return String::new() };
    let (shown, mark) = Veiling::of(message).veil(written, column);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    format!("{margin} |\n{number} | {}\n{margin} | {}^\n", shown.trim_end(), " ".repeat(mark))
}

struct Veiling<'m> {
    message: &'m str,
    shown: String,
    /// Whether there was a key before.
    has_key: bool,
    /// Whether one of those spoke of credentials.
    is_secret: bool,
    /// Whether any text of the line may be a URL with a user in it.
    has_user: bool,
    /// Whether a key may come next.
    is_before_key: bool,
}

impl<'m> Veiling<'m> {
    const fn of(message: &'m str) -> Self {
        Self {
            message,
            shown: String::new(),
            has_key: false,
            is_secret: false,
            has_user: false,
            is_before_key: true,
        }
    }

    /// What is shown of a line, and how many characters of it stand before the column.
    fn veil(mut self, line: &str, column: usize) -> (String, usize) {
        self.has_user = line.contains('@');
        let mut mark = None;
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let at = line.chars().count() - rest.chars().count() + 1;
            let piece = piece(rest, first);
            let is_in_it = (at..at + piece.chars().count()).contains(&column);
            if is_in_it {
                mark = Some(self.shown.chars().count());
            }
            rest = &rest[piece.len()..];
            if first == '#' {
                break;
            }
            self.show(piece, first, rest);
        }
        let end = self.shown.chars().count();
        (self.shown, mark.unwrap_or(end))
    }

    fn show(&mut self, piece: &str, first: char, rest: &str) {
        let is_word = is_of_word(first);
        let is_text = matches!(first, '"' | '\'');
        if !is_word && !is_text {
            match first {
                '=' => self.is_before_key = false,
                '{' | ',' => self.is_before_key = true,
                _ => {}
            }
            if first == '\t' {
                self.shown.push(' ');
            } else {
                self.shown.push_str(piece);
            }
            return;
        }
        // In the head of a section everything is a key.
        let is_key = is_word && self.shown.trim_start().starts_with('[')
            || self.is_before_key && rest.trim_start().starts_with(['=', '.']);
        if is_key {
            self.has_key = true;
            self.is_secret |= is_telltale(piece) || is_of_headers(piece);
            self.shown.push_str(piece);
        } else if self.may_be_shown(piece, is_text) {
            self.shown.push_str(piece);
        } else if is_text {
            self.shown.push_str(&format!("\"{VEIL}\""));
        } else {
            self.shown.push_str(VEIL);
        }
    }

    fn may_be_shown(&self, value: &str, is_text: bool) -> bool {
        if self.is_secret {
            return false;
        }
        let bare = value.trim_matches(['"', '\'']);
        let may_be_secret = is_telltale(bare) || if is_text { bare.contains('@') } else { self.has_user };
        is_quantity(bare)
            || self.has_key && !may_be_secret
            || is_text && !bare.is_empty() && self.message.contains(&format!("{bare:?}"))
    }
}

/// Whether what stands behind a key are headers, of which any may be a secret where its name is not in its place.
fn is_of_headers(key: &str) -> bool {
    key.ends_with("headers") || matches!(key, "set" | "add")
}

/// Whether it is a number, a flag, or a number with a unit.
fn is_quantity(text: &str) -> bool {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let is_short = text.len() <= 8;
    let unit_is_plain = text[digits..].bytes().all(|byte| byte.is_ascii_alphabetic());
    matches!(text, "true" | "false") || is_short && digits > 0 && unit_is_plain
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric()
        || matches!(character, '_' | '-' | '+' | '@' | '/' | '\\' | '$' | '%' | '!' | '~')
}

/// What stands together at the start of a text: a text with its quotes, a word, or one character.
fn piece(text: &str, first: char) -> &str {
    let end = match first {
        '"' | '\'' => {
            let mut before = first;
            let inner = text.char_indices().skip(1).find(|(_, character)| {
                let is_end = *character == first && (before != '\\' || first == '\'');
                before = if before == '\\' { ' ' } else { *character };
                is_end
            });
            inner.map_or(text.len(), |(at, _)| at + 1)
        }
        _ if is_of_word(first) => text.find(|character: char| !is_of_word(character)).unwrap_or(text.len()),
        _ => first.len_utf8(),
    };
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, column: usize, message: &str) -> String {
        excerpt(line, 1, column, message)
    }

    #[test]
    fn the_line_is_shown_with_a_mark_at_the_column() {
        assert_eq!(shown("conect = \"1s\"", 1, ""), "  |\n1 | conect = \"1s\"\n  | ^\n");
        assert_eq!(
            shown("a = { b = [1, true] }", 17, ""),
            "  |\n1 | a = { b = [1, true] }\n  |               ^\n"
        );
        assert_eq!(shown("[[route.split]] # of ours", 3, ""), "  |\n1 | [[route.split]]\n  |   ^\n");
        assert_eq!(excerpt("a = 1\n", 7, 1, ""), "");
    }

    #[test]
    fn what_may_be_a_secret_is_not() {
        for line in [
            "auth = \"planted\"",
            "auth = planted",
            "auth = 'planted'",
            "auth = \"\"\"planted\"\"\"",
            "auth = 12345",
            "request_headers = \"planted\"",
            "request_headers.set = { authorization = [\"x planted\"], x = \"planted\" }",
            "headers = { \"x-token\" = \"12h\" } # planted",
            "url = \"zookeeper://user:planted@127.0.0.1:2181",
            "planted",
            "url = zookeeper://user:planted@h",
        ] {
            for column in 1..=line.len() {
                let shown = shown(line, column, "");
                assert!(!shown.contains("plant") && !shown.contains("12"), "{line}: {shown}");
            }
        }
        let told = shown("level = \"verbose\"", 9, "there is no \"verbose\"; write \"info\"");
        assert_eq!(told, "  |\n1 | level = \"verbose\"\n  |         ^\n");
    }
}
