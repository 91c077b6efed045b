//! Whether a script may change or hold the bytes of a stream, or make packets, told from its text.
//!
//! The engine must know before the first packet: bytes that can still be changed must wait behind a
//! gap, where bytes that are only looked at go on at once. A script that edits names the calls for
//! it, or writes to an index; one that hides them (`iter["ins" .. "ert"]`) finds its data read-only,
//! and the error says how to declare it.

/// Calls that change bytes or hold them back; so does a write to an index that is no plain string.
pub(crate) const EDITS: &[&[u8]] = &[
    b"append",
    b"enable_data_modification",
    b"erase",
    // Writing to a field of what a grammar has parsed changes its bytes.
    b"grammar",
    b"insert",
    b"mark",
    b"replace",
    b"restore",
    b"setbits",
    b"setfixedstring",
    b"setnumber",
    b"setstring",
    b"unmark",
    b"zero",
];

/// Calls that make packets.
pub(crate) const INJECTS: &[&[u8]] = &[b"inject", b"send"];

/// Whether the text of a Lua file names one of `calls`. `table.insert` is no edit; what stands in strings
/// and comments does not count.
pub(crate) fn names(text: &[u8], calls: &[&[u8]]) -> bool {
    let tokens = tokens(text);
    tokens.iter().enumerate().any(|(at, token)| match token {
        Token::Name(name) => calls.contains(name) && !is_of_table(first(&tokens, at)),
        Token::Other(b']') if calls == EDITS => {
            tokens.get(at + 1) == Some(&Token::Assign) && is_index(first(&tokens, at))
        }
        _ => false,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a [u8]),
    Text,
    Assign,
    Other(u8),
}

/// Whether `table.` stands before.
fn is_of_table(before: &[Token<'_>]) -> bool {
    matches!(before, [.., Token::Name(b"table"), Token::Other(b'.')])
}

/// Whether the bracket that closes after `before` is an index (`a[i]`), not a table's key
/// (`{ [i] = 1 }`), and what is in it is no plain string.
fn is_index(before: &[Token<'_>]) -> bool {
    let mut depth = 1;
    for (at, token) in before.iter().enumerate().rev() {
        match token {
            Token::Other(b']') => depth += 1,
            Token::Other(b'[') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let of = at.checked_sub(1).and_then(|at| before.get(at));
            let is_key = from(before, at + 1) == [Token::Text];
            return !is_key
                && matches!(of, Some(Token::Name(_) | Token::Text | Token::Other(b')' | b']')));
        }
    }
    false
}

fn tokens(text: &[u8]) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let [head, tail @ ..] = rest {
        if rest.starts_with(b"--") {
            let comment = from(rest, 2);
            rest = match long_bracket(comment) {
                Some(len) => from(comment, len),
                None => after(comment, b'\n'),
            };
        } else if let Some(len) = long_bracket(rest) {
            tokens.push(Token::Text);
            rest = from(rest, len);
        } else if matches!(head, b'"' | b'\'') {
            tokens.push(Token::Text);
            rest = after_quoted(tail, *head);
        } else if head.is_ascii_alphanumeric() || *head == b'_' {
            let len = rest.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
            tokens.push(Token::Name(first(rest, len)));
            rest = from(rest, len);
        } else if [b"==", b"~=", b"<=", b">="].iter().any(|op| rest.starts_with(*op)) {
            tokens.push(Token::Other(b'?'));
            rest = from(rest, 2);
        } else {
            if *head == b'=' {
                tokens.push(Token::Assign);
            } else if !head.is_ascii_whitespace() {
                tokens.push(Token::Other(*head));
            }
            rest = tail;
        }
    }
    tokens
}

/// Length of the `[[…]]` or `[==[…]==]` that `text` begins with; one without an end takes all.
fn long_bracket(text: &[u8]) -> Option<usize> {
    let level = text.strip_prefix(b"[")?.iter().take_while(|c| **c == b'=').count();
    if text.get(level + 1) != Some(&b'[') {
        return None;
    }
    let close = [&b"]"[..], &b"=".repeat(level), b"]"].concat();
    let body = level + 2;
    let end = from(text, body).windows(close.len()).position(|window| window == close);
    Some(end.map_or(text.len(), |end| body + end + close.len()))
}

fn after_quoted(mut text: &[u8], quote: u8) -> &[u8] {
    while let [first, rest @ ..] = text {
        text = rest;
        if *first == b'\\' {
            text = from(text, 1);
        } else if *first == quote || *first == b'\n' {
            break;
        }
    }
    text
}

fn after(text: &[u8], end: u8) -> &[u8] {
    text.iter().position(|c| *c == end).map_or(&[], |at| from(text, at + 1))
}

fn from<T>(all: &[T], at: usize) -> &[T] {
    all.get(at..).unwrap_or_default()
}

fn first<T>(all: &[T], count: usize) -> &[T] {
    all.get(..count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_change_bytes_are_found() {
        for text in [
            "iter:insert(b)",
            "current:sub(1, 2):replace(b)",
            "local erase = iter.erase",
            "current[1] = 3",
            "f(x)[i + t[j]] = 0",
            "iter : mark ( )",
            "sub:setstring[[x]]",
            "local t = { insert = 1 }",
        ] {
            assert!(names(text.as_bytes(), EDITS), "{text}");
        }
    }

    #[test]
    fn making_packets_is_told_from_editing() {
        assert!(names(b"npkt:send()", INJECTS) && names(b"pkt:inject()", INJECTS));
        assert!(!names(b"current[1] = 3 b:erase()", INJECTS) && !names(b"npkt:send()", EDITS));
    }

    #[test]
    fn other_calls_strings_and_comments_are_not() {
        for text in [
            "table.insert(t, 1)",
            "-- iter:insert(b)",
            "--[==[ a:erase() ]] \n b:mark() ]==] x = 1",
            "print('erase', \"in\\\"sert replace\", [[ zero ]])",
            "current[1] == 3",
            "t['name'] = 1",
            "t = { [1] = 2, [x] = 3 }",
            "local insertion, marked = 1, 2",
            "x = current[1]",
            "'unfinished insert",
            "--[[ unfinished insert",
            "",
        ] {
            assert!(!names(text.as_bytes(), EDITS), "{text}");
        }
    }
}
