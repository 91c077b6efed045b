//! Words of Lua, as LuaJIT has them. A text may be any bytes: what is no UTF-8 stands in strings and comments.

/// A word, and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name, or a keyword: the parser knows which.
    Name(String),
    /// A string without its quotes; escapes stay as they are.
    Text(String),
    Number,
    /// An operator, a bracket, a separator.
    Sign(&'static str),
    End,
}

/// The longest first.
const SIGNS: [&str; 34] = [
    "...", "..", "==", "~=", "<=", ">=", "::", "<<", ">>", "//", "+", "-", "*", "/", "%", "^", "#",
    "<", ">", "=", "(", ")", "{", "}", "[", "]", ";", ":", ",", ".", "&", "|", "~", "!",
];

/// All words of a text, the last of which is [`Kind::End`].
///
/// # Errors
/// The line on which something is no Lua.
pub(crate) fn words(text: &[u8]) -> Result<Vec<Word>, usize> {
    let mut lexer = Lexer { text, at: 0, line: 1 };
    // A first line for the shell.
    if lexer.peek(0) == Some(b'#') {
        lexer.skip_line();
    }
    let mut words = Vec::new();
    loop {
        lexer.skip_blank()?;
        let line = lexer.line;
        let kind = lexer.word()?;
        let is_end = kind == Kind::End;
        words.push(Word { kind, line });
        if is_end {
            return Ok(words);
        }
    }
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn skip_blank(&mut self) -> Result<(), usize> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'-'), Some(b'-')) => {
                    self.at += 2;
                    match self.level() {
                        Some(level) => drop(self.long(level)?),
                        None => self.skip_line(),
                    }
                }
                (Some(byte), _) if byte.is_ascii_whitespace() || byte == 0x0b => {
                    self.next();
                }
                _ => return Ok(()),
            }
        }
    }

    /// How many `=` a long bracket has that begins here.
    fn level(&self) -> Option<usize> {
        if self.peek(0) != Some(b'[') {
            return None;
        }
        let level = (1..).take_while(|&ahead| self.peek(ahead) == Some(b'=')).count();
        (self.peek(level + 1) == Some(b'[')).then_some(level)
    }

    fn long(&mut self, level: usize) -> Result<String, usize> {
        let line = self.line;
        self.at += level + 2;
        let from = self.at;
        let end = [b"]".as_slice(), &b"=".repeat(level), b"]"].concat();
        while !self.text.get(self.at..).unwrap_or_default().starts_with(&end) {
            self.next().ok_or(line)?;
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        self.at += end.len();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn word(&mut self) -> Result<Kind, usize> {
        let Some(byte) = self.peek(0) else { return Ok(Kind::End) };
        if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 {
            return Ok(Kind::Name(
                self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80),
            ));
        }
        if byte.is_ascii_digit()
            || byte == b'.' && self.peek(1).is_some_and(|next| next.is_ascii_digit())
        {
            self.number();
            return Ok(Kind::Number);
        }
        if byte == b'"' || byte == b'\'' {
            return self.quoted(byte);
        }
        if let Some(level) = self.level() {
            return self.long(level).map(Kind::Text);
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let sign = SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes())).ok_or(self.line)?;
        self.at += sign.len();
        Ok(Kind::Sign(sign))
    }

    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        let from = self.at;
        while self.peek(0).is_some_and(&belongs) {
            self.at += 1;
        }
        String::from_utf8_lossy(self.text.get(from..self.at).unwrap_or_default()).into_owned()
    }

    /// Digits, letters of a base or suffix, and a sign behind an exponent.
    fn number(&mut self) {
        let mut last = 0;
        let is_hexadecimal =
            self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X'));
        while let Some(byte) = self.peek(0) {
            let is_exponent = if is_hexadecimal { b"pP" } else { b"eE" }.contains(&last);
            let belongs = byte.is_ascii_alphanumeric()
                || byte == b'.'
                || is_exponent && b"+-".contains(&byte);
            // `1..2` joins two numbers.
            if !belongs || byte == b'.' && self.peek(1) == Some(b'.') {
                return;
            }
            last = byte;
            self.at += 1;
        }
    }

    fn quoted(&mut self, quote: u8) -> Result<Kind, usize> {
        let line = self.line;
        self.at += 1;
        let from = self.at;
        loop {
            match self.next().ok_or(line)? {
                b'\\' => drop(self.next()),
                b'\n' => return Err(line),
                byte if byte == quote => break,
                _ => {}
            }
        }
        let text = self.text.get(from..self.at - 1).unwrap_or_default();
        Ok(Kind::Text(String::from_utf8_lossy(text).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let words = words(text.as_bytes()).unwrap();
        let shown = words.iter().map(|word| match &word.kind {
            Kind::Name(name) => name.clone(),
            Kind::Text(text) => format!("'{text}'"),
            Kind::Number => "0".into(),
            Kind::Sign(sign) => (*sign).into(),
            Kind::End => format!("|{}", word.line),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_kind_of_word_is_told_apart() {
        assert_eq!(shown("local x = y.z"), "local x = y . z |1");
        assert_eq!(shown("'a\\'b' \"c\" [[d\n]] [==[e]]]==]"), "'a\\'b' 'c' 'd\n' 'e]]' |2");
        assert_eq!(shown("1 0x1F 0x1p-3 1e+5 .5 10LL 3i 1..2"), "0 0 0 0 0 0 0 0 .. 0 |1");
        assert_eq!(shown("a--b\n--[[c\n]]d--[=[e\n]=]"), "a d |4");
        assert_eq!(shown("goto x ::x:: ~= ... a[b[1]]"), "goto x :: x :: ~= ... a [ b [ 0 ] ] |1");
        assert_eq!(shown("#!/bin/sh\n#t"), "# t |2");
        assert_eq!(words(b"x\n'open"), Err(2));
        assert_eq!(words(b"'\xff' = \x01"), Err(1));
    }
}
