//! How long files and functions are, how they begin, and what things are called.

use syn::visit::Visit;

use super::Complaint;
use super::rules::Rules;
use super::source::Source;

/// Files and functions over their limit, and entries of the ratchet list that are out of date.
pub(crate) fn check_sizes(rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut judge = |name: &str, path: &str, line: usize, lines: usize, most: usize| {
        seen.push(name.to_owned());
        let cause = match rules.ratchet.get(name) {
            None if lines > most => format!("`{name}` has {lines} lines, at most {most} are allowed"),
            Some(listed) if lines > *listed => {
                format!("`{name}` grew from {listed} to {lines} lines; it may only shrink")
            }
            Some(_) if lines <= most => format!("`{name}` is short enough now: take it off the list"),
            Some(listed) if lines < *listed => {
                format!("`{name}` shrank to {lines} lines: write that in the list")
            }
            None | Some(_) => return,
        };
        complaints.push(Complaint::new(path, line, cause));
    };
    for source in sources.iter().filter(|source| source.is_rust()) {
        judge(&source.path, &source.path, 1, source.text.lines().count(), rules.file_lines);
        for function in functions(&source.text) {
            let name = format!("{}::{}", source.path, function.name);
            judge(&name, &source.path, function.line, function.lines, rules.function_lines);
        }
    }
    let gone = rules.ratchet.keys().filter(|name| !seen.contains(name));
    complaints.extend(gone.map(|name| {
        Complaint::new("ARCHITECTURE.md", 1, format!("`{name}` is on the list of large things and is gone"))
    }));
    complaints
}

/// Rust files that do not begin with a sentence about what they are for.
pub(crate) fn check_first_line(_rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let says_nothing = |source: &&Source| {
        let first = source.text.lines().next().unwrap_or_default();
        !first.strip_prefix("//! ").is_some_and(|sentence| sentence.trim().contains(' '))
    };
    let complain = |source: &Source| {
        Complaint::new(&source.path, 1, "the first line is not a `//!` sentence saying what the file is for")
    };
    sources.iter().filter(|source| source.is_rust()).filter(says_nothing).map(complain).collect()
}

/// Files, modules and types whose name says nothing.
pub(crate) fn check_names(rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let empty = |name: &str| rules.empty_names.iter().any(|empty| parts(name).contains(empty));
    for source in sources {
        for part in source.path.split('/').filter(|part| empty(part.split('.').next().unwrap_or_default())) {
            complaints.push(Complaint::new(&source.path, 1, format!("`{part}` is a name that says nothing")));
        }
        for two in source.tokens.windows(2) {
            let names =
                matches!(two[0].text.as_str(), "mod" | "struct" | "enum" | "trait" | "type" | "union");
            if names && empty(&two[1].text) {
                let message = format!("`{}` is a name that says nothing", two[1].text);
                complaints.push(Complaint::new(&source.path, two[1].line, message));
            }
        }
    }
    complaints
}

/// The words in a name, lower case: `PoolManager` and `pool_manager` both hold `manager`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for character in name.chars() {
        if character.is_uppercase() || matches!(character, '_' | '-') {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut().filter(|_| character.is_alphanumeric()) {
            last.extend(character.to_lowercase());
        }
    }
    parts
}

/// A function and its length, from `fn` to its closing brace.
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

fn functions(text: &str) -> Vec<Function> {
    let file = syn::parse_file(text).expect("the file was read as tokens before");
    let mut found = Functions(Vec::new());
    found.visit_file(&file);
    found.0
}

struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let end = block.brace_token.span.close().end().line;
        self.0.push(Function { name: signature.ident.to_string(), line, lines: end + 1 - line });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::SAMPLE;
    use super::*;

    fn messages(check: fn(&Rules, &[Source]) -> Vec<Complaint>, path: &str, text: &str) -> Vec<String> {
        let complaints = check(&Rules::parse(SAMPLE), &[Source::new(path, text)]);
        complaints.into_iter().filter(|it| it.file == path).map(|it| it.message).collect()
    }

    #[test]
    fn long_files_and_functions_are_seen() {
        assert_eq!(messages(check_sizes, "src/left.rs", &"\n".repeat(11)).len(), 1);
        assert!(messages(check_sizes, "src/left.rs", &"\n".repeat(10)).is_empty());
        for text in [
            "fn f() {\n\n\n}",
            "impl A { fn f() {\n\n\n} }",
            "trait A { fn f() {\n\n\n} }",
            "fn g() { fn f()\n{\n\n} }",
        ] {
            assert!(!messages(check_sizes, "src/left.rs", text).is_empty(), "{text}");
        }
        assert!(messages(check_sizes, "src/left.rs", "fn f() {\n\n}").is_empty());
    }

    #[test]
    fn the_list_of_large_things_only_shrinks() {
        let large = |lines: usize, body: usize| {
            let text = format!("fn long() {{{}}}{}", "\n".repeat(body - 1), "\n".repeat(lines - body + 1));
            messages(check_sizes, "src/base.rs", &text)
        };
        assert!(large(12, 5).is_empty());
        assert!(large(13, 5)[0].contains("grew") && large(11, 5)[0].contains("shrank"));
        assert!(large(12, 6)[0].contains("grew") && large(12, 4)[0].contains("shrank"));
        assert!(large(10, 5)[0].contains("take it off") && large(12, 3)[0].contains("take it off"));
        let gone = check_sizes(&Rules::parse(SAMPLE), &[]);
        assert_eq!(gone.len(), 2, "what is gone has to leave the list: {gone:?}");
    }

    #[test]
    fn a_missing_sentence_is_seen() {
        for text in ["", "use a;", "// A comment.", "//! One", "\n//! Too late here."] {
            assert_eq!(messages(check_first_line, "src/left.rs", text).len(), 1, "{text}");
        }
        assert!(messages(check_first_line, "src/left.rs", "//! What it is for.").is_empty());
    }

    #[test]
    fn empty_names_are_seen() {
        assert_eq!(messages(check_names, "src/utils.rs", "").len(), 1);
        assert_eq!(messages(check_names, "src/utils/a.rs", "").len(), 1);
        assert_eq!(messages(check_names, "src/left.rs", "mod string_utils {}").len(), 1);
        assert_eq!(messages(check_names, "src/left.rs", "struct PoolManager;").len(), 1);
        assert!(messages(check_names, "src/left.rs", "struct Managerial; fn f(manager: u8) {}").is_empty());
    }
}
