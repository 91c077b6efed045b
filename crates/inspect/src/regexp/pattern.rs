use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;

use super::dialect;
use super::error::PatternError;

/// Longer expressions are refused before they are read.
const PATTERN_BYTES_MAX: usize = 64 << 10;
/// Groups within groups.
const NESTING_MAX: u32 = 100;

/// How an expression is read. `^` and `$` always match at lines, as in Haka.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flags {
    /// ASCII letters match in either case.
    pub case_insensitive: bool,
    /// White space and `#` comments in the expression mean nothing.
    pub extended: bool,
}

/// Reads an expression: bytes, not text. For automata other than ours, that are to understand the same
/// expressions.
///
/// # Errors
/// What is wrong, and where.
pub fn parse(pattern: &[u8], flags: Flags) -> Result<Hir, PatternError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::whole(format!("longer than {PATTERN_BYTES_MAX} bytes")));
    }
    let translated = dialect::translate(pattern)?;
    let located = |message: String, offset: usize| {
        let origin = translated.origins.get(offset).copied().unwrap_or(pattern.len());
        PatternError { message, position: Some(origin + 1) }
    };
    ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .multi_line(true)
        .case_insensitive(flags.case_insensitive)
        .ignore_whitespace(flags.extended)
        .nest_limit(NESTING_MAX)
        .build()
        .parse(&translated.text)
        .map_err(|error| match error {
            regex_syntax::Error::Parse(error) => {
                located(error.kind().to_string(), error.span().start.offset)
            }
            regex_syntax::Error::Translate(error) => {
                located(error.kind().to_string(), error.span().start.offset)
            }
            other => PatternError::whole(other.to_string()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_expression_is_told_with_its_place() {
        let error = |pattern: &[u8]| parse(pattern, Flags::default()).unwrap_err().to_string();
        assert_eq!(error(b"%s(a"), "unclosed group at position 3");
        assert_eq!(error(b"\xc3\xa9*a)"), "unopened group at position 5");
        assert_eq!(
            error(b"[z-a]"),
            "invalid character class range, \
            the start must be <= the end at position 2"
        );
        assert_eq!(error(b"*"), "repetition operator missing expression at position 1");
        assert_eq!(
            error(format!("{}a{}", "(".repeat(200), ")".repeat(200)).as_bytes()),
            "exceed the maximum number of nested parentheses/brackets (100) at position 101"
        );
        assert_eq!(error(&[b'a'; 70_000]), "longer than 65536 bytes");
    }
}
