//! A pattern as a list of items.

/// As many captures as Lua allows.
const CAPTURES_MAX: usize = 32;

/// A set of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Single([u64; 4]);

/// How often a [`Single`] matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    Once,
    /// `?`
    Maybe,
    /// `*` and `+`: as often as possible, and at least so often.
    Most(usize),
    /// `-`
    Fewest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Single(Single, Repeat),
    /// `(`
    Open,
    /// `()`
    Place,
    /// `)`, of that capture.
    Close(usize),
    /// `%1`: that capture, counted from 0.
    Again(usize),
    /// `%bxy`
    Balance(u8, u8),
    /// `%f[set]`
    Frontier(Single),
    /// `$` at the end.
    End,
}

/// A pattern that is well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(super) anchored: bool,
    pub(super) items: Vec<Item>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in Lua's words.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let (anchored, text) = match text.split_first() {
            Some((b'^', rest)) => (true, rest),
            _ => (false, text),
        };
        let mut parser = Parser { text, at: 0, open: Vec::new(), captures: 0, closed: Vec::new() };
        let mut items = Vec::new();
        while let Some(byte) = parser.next() {
            let item = parser.item(byte)?;
            items.push(item);
        }
        if !parser.open.is_empty() {
            return Err("unfinished capture");
        }
        Ok(Self { anchored, items })
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// Captures begun and not ended.
    open: Vec<usize>,
    captures: usize,
    /// Which captures a `%1` may name.
    closed: Vec<bool>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn item(&mut self, byte: u8) -> Result<Item, &'static str> {
        match byte {
            b'(' => self.begin(),
            b')' => {
                let number = self.open.pop().ok_or("invalid pattern capture")?;
                if let Some(closed) = self.closed.get_mut(number) {
                    *closed = true;
                }
                Ok(Item::Close(number))
            }
            b'$' if self.peek().is_none() => Ok(Item::End),
            b'%' => self.escaped(),
            b'[' => {
                let set = self.set()?;
                Ok(self.repeated(set))
            }
            b'.' => Ok(self.repeated(Single([u64::MAX; 4]))),
            byte => Ok(self.repeated(Single::of(byte))),
        }
    }

    fn begin(&mut self) -> Result<Item, &'static str> {
        if self.captures == CAPTURES_MAX {
            return Err("too many captures");
        }
        let number = self.captures;
        self.captures += 1;
        self.closed.push(false);
        if self.peek() == Some(b')') {
            self.at += 1;
            return Ok(Item::Place);
        }
        self.open.push(number);
        Ok(Item::Open)
    }

    fn escaped(&mut self) -> Result<Item, &'static str> {
        match self.next().ok_or("malformed pattern (ends with '%')")? {
            b'b' => match (self.next(), self.next()) {
                (Some(open), Some(close)) => Ok(Item::Balance(open, close)),
                _ => Err("unbalanced pattern"),
            },
            b'f' => {
                if self.next() != Some(b'[') {
                    return Err("missing '[' after '%f' in pattern");
                }
                self.set().map(Item::Frontier)
            }
            digit @ b'0'..=b'9' => {
                let number = usize::from(digit - b'0').wrapping_sub(1);
                match self.closed.get(number) {
                    Some(true) => Ok(Item::Again(number)),
                    _ => Err("invalid capture index"),
                }
            }
            class => Ok(self.repeated(Single::class(class))),
        }
    }

    fn repeated(&mut self, single: Single) -> Item {
        let repeat = match self.peek() {
            Some(b'?') => Repeat::Maybe,
            Some(b'*') => Repeat::Most(0),
            Some(b'+') => Repeat::Most(1),
            Some(b'-') => Repeat::Fewest,
            _ => return Item::Single(single, Repeat::Once),
        };
        self.at += 1;
        Item::Single(single, repeat)
    }

    /// Behind `[`: everything up to the `]` that ends it. One that comes first means itself.
    fn set(&mut self) -> Result<Single, &'static str> {
        const UNFINISHED: &str = "malformed pattern (missing ']')";
        let inverted = self.peek() == Some(b'^');
        if inverted {
            self.at += 1;
        }
        let end = self.set_end().ok_or(UNFINISHED)?;
        let mut set = Single([0; 4]);
        while self.at < end {
            let byte = self.next().ok_or(UNFINISHED)?;
            if byte == b'%' {
                set.join(&Single::class(self.next().ok_or(UNFINISHED)?));
            } else if self.peek() == Some(b'-') && self.at + 1 < end {
                self.at += 1;
                let last = self.next().ok_or(UNFINISHED)?;
                (byte..=last).for_each(|byte| set.add(byte));
            } else {
                set.add(byte);
            }
        }
        self.at = end + 1;
        Ok(if inverted { set.inverted() } else { set })
    }

    /// Where the `]` is.
    fn set_end(&self) -> Option<usize> {
        let mut at = self.at;
        loop {
            let byte = *self.text.get(at)?;
            at += 1;
            if byte == b'%' {
                self.text.get(at)?;
                at += 1;
            }
            if *self.text.get(at)? == b']' {
                return Some(at);
            }
        }
    }
}

impl Single {
    fn of(byte: u8) -> Self {
        let mut set = Self([0; 4]);
        set.add(byte);
        set
    }

    /// `%a` and the others, and their opposites; of any other character, itself.
    fn class(class: u8) -> Self {
        let is: fn(u8) -> bool = match class.to_ascii_lowercase() {
            b'a' => |byte| byte.is_ascii_alphabetic(),
            b'c' => |byte| byte.is_ascii_control(),
            b'd' => |byte| byte.is_ascii_digit(),
            b'g' => |byte| byte.is_ascii_graphic(),
            b'l' => |byte| byte.is_ascii_lowercase(),
            b'p' => |byte| byte.is_ascii_punctuation(),
            // The vertical tab is a space to C, and none to Rust.
            b's' => |byte| byte.is_ascii_whitespace() || byte == 0x0b,
            b'u' => |byte| byte.is_ascii_uppercase(),
            b'w' => |byte| byte.is_ascii_alphanumeric(),
            b'x' => |byte| byte.is_ascii_hexdigit(),
            b'z' => |byte| byte == 0,
            _ => return Self::of(class),
        };
        let mut set = Self([0; 4]);
        (0..=u8::MAX).filter(|byte| is(*byte)).for_each(|byte| set.add(byte));
        if class.is_ascii_uppercase() { set.inverted() } else { set }
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        let [place, bit] = [usize::from(byte >> 6), usize::from(byte & 63)];
        self.0.get(place).is_some_and(|word| word >> bit & 1 == 1)
    }

    fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word |= more);
    }

    fn inverted(&self) -> Self {
        Self(self.0.map(|word| !word))
    }
}
