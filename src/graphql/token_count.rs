//! Counts the tokens of a document before it is parsed (GraphQL specification, section 2.1.6), so that what a parser does with a flood of them is not
//! to be found out.
//!
//! It does not say whether the document is one: that is the parser's.

/// How many tokens there are, or more than `most` as soon as there are more.
pub fn tokens(document: &str, most: usize) -> usize {
    let mut rest = document;
    let mut count = 0;
    while count <= most {
        rest = after_ignored(rest);
        let Some(first) = rest.chars().next() else { break };
        rest = after_token(rest, first);
        count += 1;
    }
    count
}

/// White space, commas and comments mean nothing.
fn after_ignored(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(['\u{feff}', '\t', ' ', '\n', '\r', ',']);
        match text.strip_prefix('#') {
            Some(comment) => text = comment.find(['\n', '\r']).and_then(|end| comment.get(end..)).unwrap_or_default(),
            None => return text,
        }
    }
}

fn after_token(text: &str, first: char) -> &str {
    let is_word = |of: char| of.is_ascii_alphanumeric() || matches!(of, '_' | '-' | '+' | '.');
    if let Some(block) = text.strip_prefix("\"\"\"") {
        return after_block(block);
    }
    match first {
        '"' => after_string(text.get(1..).unwrap_or_default()),
        '.' => text.strip_prefix("...").unwrap_or_else(|| text.get(1..).unwrap_or_default()),
        _ if is_word(first) => text.trim_start_matches(is_word),
        _ => text.get(first.len_utf8()..).unwrap_or_default(),
    }
}

/// A block ends with three quotes that are not escaped, or not at all.
fn after_block(mut text: &str) -> &str {
    while let Some((before, after)) = text.split_once("\"\"\"") {
        text = after;
        if !before.ends_with('\\') {
            return text;
        }
    }
    ""
}

/// A string ends with a quote that is not escaped, with its line, or not at all.
fn after_string(text: &str) -> &str {
    let mut is_escaped = false;
    for (at, of) in text.char_indices() {
        match of {
            '"' if !is_escaped => return text.get(at + 1..).unwrap_or_default(),
            '\n' | '\r' => return text.get(at..).unwrap_or_default(),
            _ => is_escaped = of == '\\' && !is_escaped,
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn each_name_number_text_and_sign_is_one() {
        for (document, count) in [
            ("", 0),
            (" ,\t\n# nothing\r", 0),
            ("{a}", 3),
            ("{ a, b }", 4),
            ("query Q($n: Int! = -1.5e+3) { a(n: $n) }", 20),
            ("{ ...f ... on T { b } }", 10),
            (r#"{ a(s: "x \" } # {", t: "") }"#, 11),
            ("{ a(s: \"\"\"one \\\"\"\" \"two\" \n # \"\"\") }", 8),
            ("{ a(s: \"never ends", 6),
            ("{ a(s: \"\"\"never ends", 6),
            ("é€", 2),
        ] {
            assert_eq!(tokens(document, 100), count, "{document}");
        }
    }

    #[test]
    fn counting_ends_where_there_are_too_many() {
        assert_eq!(tokens(&"{".repeat(1_000_000), 10), 11);
    }
}
