//! From the expressions that rules write, PCRE's with `%` beside `\`, to those of `regex-syntax`.
//!
//! Most of both is the same. What is spelled otherwise is spelled anew here; what cannot be matched in
//! one pass over bytes that arrive in pieces (look-around, back-references, possessive repeats) is
//! refused with its place, because another crate would read some of it as something else.
use super::error::PatternError;

/// The expression as `regex-syntax` reads it, and for each of its bytes where it came from.
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) origins: Vec<usize>,
}

pub(super) fn translate(pattern: &[u8]) -> Result<Translated, PatternError> {
    let out = Translated { text: String::new(), origins: Vec::new() };
    let mut translator = Translator { pattern, at: 0, out, class: Class::Outside, repeats: false };
    while translator.at < pattern.len() {
        translator.next()?;
    }
    Ok(translator.out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    /// In brackets, before the first member: a `]` here is one.
    Opening,
    Inside,
}

struct Translator<'a> {
    pattern: &'a [u8],
    at: usize,
    out: Translated,
    class: Class,
    /// Whether what went before is a repeat, so that a `+` would make it possessive.
    repeats: bool,
}

impl Translator<'_> {
    fn next(&mut self) -> Result<(), PatternError> {
        let Some(byte) = self.peek(0) else { return Ok(()) };
        let repeats = std::mem::take(&mut self.repeats);
        match byte {
            b'%' | b'\\' | 0x80.. => {
                if self.class == Class::Opening {
                    self.class = Class::Inside;
                }
                if byte < 0x80 {
                    return self.escape();
                }
                self.push_byte(1, byte);
            }
            _ if self.class != Class::Outside => return self.member(byte),
            b'[' => {
                self.class = Class::Opening;
                let negated = self.peek(1) == Some(b'^');
                self.push(1 + usize::from(negated), if negated { "[^" } else { "[" });
            }
            b'(' => return self.group(),
            b'+' if repeats => return Err(self.refused("possessive repeats")),
            b'*' | b'+' | b'?' => {
                // A `?` behind a repeat makes it lazy, and is no repeat of its own.
                self.repeats = !(repeats && byte == b'?');
                self.push_char(byte);
            }
            b'{' => match self.counted() {
                Some(len) => {
                    self.repeats = true;
                    (0..len).for_each(|_| self.push_char(self.peek(0).unwrap_or_default()));
                }
                None => self.push(1, r"\{"),
            },
            _ => self.push_char(byte),
        }
        Ok(())
    }

    /// One byte between brackets, where `regex-syntax` knows nested sets and operators, and PCRE
    /// does not.
    fn member(&mut self, byte: u8) -> Result<(), PatternError> {
        let opening = std::mem::replace(&mut self.class, Class::Inside) == Class::Opening;
        match byte {
            b']' if !opening => {
                self.class = Class::Outside;
                self.push(1, "]");
            }
            b']' => self.push(1, r"\]"),
            b'[' if self.peek(1) == Some(b':') => {
                let name = self.pattern.get(self.at..).unwrap_or_default();
                let Some(len) = name.windows(2).position(|pair| pair == b":]") else {
                    return Err(self.error("a class [:name:] without an end"));
                };
                (0..len + 2).for_each(|_| self.push_char(self.peek(0).unwrap_or_default()));
            }
            b'[' | b'&' | b'~' | b'#' => self.push_escaped(byte),
            b'-' if self.pattern.get(self.at.wrapping_sub(1)) == Some(&b'-') => {
                self.push_escaped(byte);
            }
            // Flag x ignores white space between brackets there, and not here.
            b' ' | b'\t'..=b'\r' => self.push_byte(1, byte),
            _ => self.push_char(byte),
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let outside = self.class == Class::Outside;
        match self.peek(1) {
            None => return Err(self.error("an escape with nothing behind it")),
            // Two of Lua's make one that stands for itself.
            Some(b'%') if self.peek(0) == Some(b'%') => self.push(2, "%"),
            Some(b'Q') => self.quoted(),
            Some(b'E') => self.push(2, ""),
            Some(b'e') => self.push(2, r"\x1B"),
            Some(b'h') => self.push(2, if outside { r"[\t\x20]" } else { r"\t\x20" }),
            Some(b'R') if outside => self.push(2, r"(?:\r\n|[\n-\r])"),
            Some(b'0') => {
                let digits = (2..4)
                    .take_while(|ahead| self.peek(*ahead).is_some_and(|c| matches!(c, b'0'..=b'7')))
                    .count();
                let value = (2..2 + digits)
                    .fold(0, |value, ahead| value * 8 + (self.peek(ahead).unwrap_or(b'0') - b'0'));
                self.push_byte(2 + digits, value);
            }
            Some(b'1'..=b'9' | b'k' | b'g') => return Err(self.refused("back-references")),
            Some(b'G' | b'K' | b'X' | b'C') => return Err(self.refused("this escape")),
            Some(byte @ (b'<' | b'>' | 0x80..)) => self.push_byte(2, byte),
            Some(byte) if byte.is_ascii_control() => self.push_byte(2, byte),
            Some(byte) => {
                let text = [b'\\', byte];
                self.push(2, std::str::from_utf8(&text).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// `\Q…\E`: everything between stands for itself.
    fn quoted(&mut self) {
        self.push(2, "");
        while let Some(byte) = self.peek(0) {
            if matches!(byte, b'\\' | b'%') && self.peek(1) == Some(b'E') {
                return self.push(2, "");
            }
            self.push_byte(1, byte);
        }
    }

    fn group(&mut self) -> Result<(), PatternError> {
        let rest = self.pattern.get(self.at + 1..).unwrap_or_default();
        let refused = match rest {
            [b'*', b'A'..=b'Z', ..] => Some("verbs such as (*FAIL)"),
            [b'?', b'=' | b'!', ..] | [b'?', b'<', b'=' | b'!', ..] => Some("look-around"),
            [b'?', b'>', ..] => Some("atomic groups"),
            [b'?', b'(', ..] => Some("conditions"),
            [b'?', b'|', ..] => Some("branch reset groups"),
            [b'?', b'R' | b'&' | b'0'..=b'9' | b'+', ..] | [b'?', b'P', b'>', ..] => {
                Some("recursion")
            }
            [b'?', b'-', b'0'..=b'9', ..] => Some("recursion"),
            [b'?', b'P', b'=', ..] => Some("back-references"),
            _ => None,
        };
        if let Some(what) = refused {
            return Err(self.refused(what));
        }
        if rest.starts_with(b"?#") {
            let Some(len) = rest.iter().position(|byte| *byte == b')') else {
                return Err(self.error("a comment without an end"));
            };
            self.push(len + 2, "");
        } else if rest.starts_with(b"?") {
            // So that the question mark is no repeat.
            self.push(2, "(?");
        } else {
            self.push(1, "(");
        }
        Ok(())
    }

    /// The length of the `{n}`, `{n,}` or `{n,m}` that stands here; any other brace is a brace.
    fn counted(&self) -> Option<usize> {
        let rest = self.pattern.get(self.at + 1..)?;
        let end = rest.iter().position(|byte| *byte == b'}')?;
        let inner = rest.get(..end)?;
        let (head, tail) = inner.split_at(inner.iter().position(|c| *c == b',').unwrap_or(end));
        let is_number = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
        let good = !head.is_empty()
            && is_number(head)
            && tail.strip_prefix(b",").map_or(tail.is_empty(), is_number);
        good.then_some(end + 2)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.pattern.get(self.at + ahead).copied()
    }

    /// `text` for the next `taken` bytes.
    fn push(&mut self, taken: usize, text: &str) {
        self.out.text.push_str(text);
        self.out.origins.extend(std::iter::repeat_n(self.at, text.len()));
        self.at += taken;
    }

    /// An ASCII byte as it is.
    fn push_char(&mut self, byte: u8) {
        self.push(1, char::from(byte).encode_utf8(&mut [0; 4]));
    }

    fn push_escaped(&mut self, byte: u8) {
        self.push(1, &format!("\\{}", char::from(byte)));
    }

    fn push_byte(&mut self, taken: usize, byte: u8) {
        self.push(taken, &format!("\\x{byte:02X}"));
    }

    fn refused(&self, what: &str) -> PatternError {
        self.error(&format!("{what} cannot be matched in one pass and are not supported"))
    }

    fn error(&self, message: &str) -> PatternError {
        PatternError { message: message.to_owned(), position: Some(self.at + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(pattern: &[u8], text: &str) {
        let translated = translate(pattern).map(|translated| translated.text);
        assert_eq!(translated.as_deref(), Ok(text));
    }

    #[test]
    fn what_is_spelled_otherwise_is_spelled_anew() {
        becomes(b"%d+%s\\w%%", "\\d+\\s\\w%");
        becomes(b"a{2}b{2,}c{2,3}d{e}{", "a{2}b{2,}c{2,3}d\\{e}\\{");
        becomes(b"[[:alpha:][a&&b]", "[[:alpha:]\\[a\\&\\&b]");
        becomes(b"[]a]", "[\\]a]");
        becomes(b"[^]a]", "[^\\]a]");
        becomes(b"[+--]", "[+-\\-]");
        becomes(b"[ \n%]]", "[\\x20\\x0A\\]]");
        becomes(b"\xc3\xa9[\xff]", "\\xC3\\xA9[\\xFF]");
        becomes(b"\\Qa.b\\E.%Q+%E", "\\x61\\x2E\\x62.\\x2B");
        becomes(b"a(?#not this)b", "ab");
        becomes(b"%012%0", "\\x0A\\x00");
        becomes(b"%<%e%h", "\\x3C\\x1B[\\t\\x20]");
        becomes(b"a+?b??(?i:c)", "a+?b??(?i:c)");
    }

    #[test]
    fn what_cannot_be_matched_in_one_pass_is_refused_with_its_place() {
        for (pattern, place) in [
            ("a(?=b)", 2),
            ("(?!b)", 1),
            ("(?<=b)", 1),
            ("(?<!b)", 1),
            ("(a)%1", 4),
            ("(?P<n>a)(?P=n)", 9),
            ("a++", 3),
            ("a{2}+", 5),
            ("(?>a)", 1),
            ("(?R)", 1),
            ("(*FAIL)", 1),
            ("a%", 2),
        ] {
            let error = translate(pattern.as_bytes()).err().and_then(|error| error.position);
            assert_eq!(error, Some(place), "{pattern}");
        }
    }
}
