use std::fmt;

/// Why an expression cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub message: String,
    /// Where, counted from 1 in the expression as it was given; absent if it is wrong as a whole.
    pub position: Option<usize>,
}

/// `message at position 7`.
impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.position {
            Some(position) => write!(f, " at position {position}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PatternError {}

impl PatternError {
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), position: None }
    }
}
