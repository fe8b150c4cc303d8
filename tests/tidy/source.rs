//! The files of the repository, and Rust code as flat tokens with the tests told apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Folders that are made, not written.
const NOT_OURS: [&str; 3] = ["target", ".git", "node_modules"];

/// A text file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Flat tokens; empty for what is not Rust.
    pub(crate) tokens: Vec<Token>,
}

/// A token of Rust code; brackets are tokens like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Whether it belongs to tests only.
    pub(crate) test: bool,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut tokens = Vec::new();
        if path.ends_with(".rs") {
            let stream: TokenStream =
                text.parse().unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
            flatten(stream, &mut tokens);
            let all = path.starts_with("tests/") || path.starts_with("benches/");
            mark_tests(&mut tokens, all);
        }
        Self { path: path.to_owned(), text: text.to_owned(), tokens }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file is one of these paths or lies below one.
    pub(crate) fn is_in(&self, places: &[String]) -> bool {
        places.iter().any(|place| {
            let rest = self.path.strip_prefix(place.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == ".rs")
        })
    }
}

/// Every text file that is written by hand, in order.
pub(crate) fn read_repository() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let inside = path.strip_prefix(root).expect("it was found below the root");
        let name = inside.to_string_lossy().replace('\\', "/");
        sources.push(Source::new(&name, &text));
    }
    mark_test_modules(&mut sources);
    sources
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folders of the repository can be read") {
        let path = entry.expect("folders of the repository can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if NOT_OURS.contains(&name) {
            continue;
        }
        if path.is_dir() {
            collect(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut push = |text: String, line: usize| tokens.push(Token { text, line, test: false });
    for tree in stream {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned(), group.span_open().start().line);
                let mut inner = Vec::new();
                flatten(group.stream(), &mut inner);
                for token in inner {
                    push(token.text, token.line);
                }
                push(close.to_owned(), group.span_close().start().line);
            }
            TokenTree::Ident(ident) => push(ident.to_string(), ident.span().start().line),
            TokenTree::Punct(punct) => push(punct.as_char().to_string(), punct.span().start().line),
            TokenTree::Literal(literal) => push(literal.to_string(), literal.span().start().line),
        }
    }
}

/// Marks all tokens, or those of the items behind `#[cfg(test)]` and `#[test]`.
fn mark_tests(tokens: &mut [Token], all: bool) {
    let mut at = 0;
    while at < tokens.len() {
        let end = if is_test_attribute(tokens, at) { end_of_item(tokens, at) } else { at + 1 };
        let test = all || end > at + 1;
        tokens[at..end].iter_mut().for_each(|token| token.test = test);
        at = end;
    }
}

/// Whether an attribute begins here that says "tests only".
fn is_test_attribute(tokens: &[Token], at: usize) -> bool {
    let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text.as_str());
    text(0) == "#"
        && text(1) == "["
        && ((text(2) == "cfg" && text(4) == "test")
            || (text(2) == "cfg" && text(4) == "all" && text(6) == "test")
            || (text(2) == "test" && text(3) == "]"))
}

/// Where the item ends whose first attribute begins here: behind its `;` or its braces.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Marks files that are declared by `#[cfg(test)] mod name;`.
fn mark_test_modules(sources: &mut [Source]) {
    let mut files = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src/")) {
        let folder = source.path.trim_end_matches(".rs").trim_end_matches("/mod").trim_end_matches("/lib");
        for three in source.tokens.windows(3).filter(|three| three[0].test) {
            if three[0].text == "mod" && three[2].text == ";" {
                files.insert(format!("{folder}/{}", three[1].text));
            }
        }
    }
    let files: Vec<String> = files.into_iter().collect();
    for source in sources.iter_mut().filter(|source| source.is_in(&files)) {
        source.tokens.iter_mut().for_each(|token| token.test = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_apart() {
        let source = Source::new("src/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests { fn g() {} }\nfn h() {}");
        let marked: Vec<&str> =
            source.tokens.iter().filter(|token| token.test).map(|token| token.text.as_str()).collect();
        assert!(marked.contains(&"g") && !marked.contains(&"f") && !marked.contains(&"h"), "{marked:?}");
    }

    #[test]
    fn a_module_for_tests_is_a_test() {
        let mut sources = vec![
            Source::new("src/a/mod.rs", "#[cfg(test)]\nmod double;\nmod real;"),
            Source::new("src/a/double.rs", "fn f() {}"),
            Source::new("src/a/real.rs", "fn f() {}"),
        ];
        mark_test_modules(&mut sources);
        assert!(sources[1].tokens[0].test && !sources[2].tokens[0].test);
    }
}
