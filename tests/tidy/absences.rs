//! Words that must not be written in some places, compared token by token.

use super::Complaint;
use super::rules::{Rules, Scope};
use super::source::{Source, Token};

/// Every place where something is written that must be absent there.
pub(crate) fn check(rules: &Rules, sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for absence in &rules.absences {
        for source in sources.iter().filter(|it| it.is_in(&absence.places) && !it.is_in(&absence.except)) {
            let concerned = |token: &&Token| match absence.scope {
                Scope::Code => !token.test,
                Scope::CodeAndTests => true,
                Scope::Tests => token.test,
            };
            let tokens: Vec<&Token> = source.tokens.iter().filter(concerned).collect();
            for word in &absence.words {
                let pattern = pattern(word);
                let lines = tokens.windows(pattern.len()).filter(|window| matches(window, &pattern));
                complaints.extend(lines.map(|window| {
                    let message = format!("`{word}` must not be here: {}", absence.because);
                    Complaint::new(&source.path, window[0].line, message)
                }));
            }
        }
    }
    complaints
}

/// The tokens of a word of the table. One that begins with a quotation mark stands for the begin of a text.
fn pattern(word: &str) -> Vec<String> {
    if word.starts_with('"') {
        return vec![word.to_owned()];
    }
    let mut tokens: Vec<String> = Vec::new();
    let mut inside = false;
    for character in word.chars() {
        let part_of_name = character.is_alphanumeric() || character == '_';
        match tokens.last_mut() {
            Some(last) if inside && part_of_name => last.push(character),
            _ => tokens.push(character.to_string()),
        }
        inside = part_of_name;
    }
    tokens
}

fn matches(window: &[&Token], pattern: &[String]) -> bool {
    window.iter().zip(pattern).all(|(token, wanted)| {
        if wanted.starts_with('"') { token.text.starts_with(wanted.as_str()) } else { token.text == *wanted }
    })
}

#[cfg(test)]
mod tests {
    use super::super::rules::SAMPLE;
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Rules::parse(SAMPLE), &[Source::new(path, text)]).len()
    }

    #[test]
    fn what_is_there_is_seen() {
        assert_eq!(count("src/base.rs", "fn f() { std::time::Instant::now(); }"), 1);
        assert_eq!(count("src/base/part.rs", "fn f() { vec![Instant::now()]; }"), 1);
        assert_eq!(count("src/left.rs", "fn f() { x .unwrap ( ); }"), 1);
        assert_eq!(count("src/left.rs", "const A: &str = \"name_of_it\";"), 1);
        assert_eq!(count("src/left.rs", "#[ignore = \"slow\"] fn f() {}"), 1);
    }

    #[test]
    fn other_places_other_words_comments_and_texts_are_not() {
        assert_eq!(count("src/left.rs", "fn f() { Instant::now(); }"), 0);
        assert_eq!(count("src/baseline.rs", "fn f() { Instant::now(); }"), 0);
        assert_eq!(count("src/top.rs", "fn f() { x.unwrap(); }"), 0);
        assert_eq!(count("src/left.rs", "// x.unwrap()\nfn f() { x.unwrap_or(\".unwrap()\"); }"), 0);
    }

    #[test]
    fn tests_are_free_unless_the_table_says_so() {
        assert_eq!(count("src/base.rs", "#[cfg(test)] mod tests { fn f() { Instant::now(); } }"), 0);
        assert_eq!(count("src/left.rs", "#[cfg(test)] mod tests { fn f() { x.unwrap(); } }"), 1);
    }

    #[test]
    fn some_words_are_for_code_and_not_for_tests() {
        assert_eq!(count("src/left.rs", "fn f() { std::thread::sleep(pause); }"), 0);
        assert_eq!(count("src/left.rs", "#[test] fn f() { std::thread::sleep(pause); }"), 1);
    }
}
