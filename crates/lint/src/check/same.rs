use super::Checker;
use crate::syntax::Expr;
use crate::types::Type;

impl Checker<'_> {
    /// A comparison: of a field with a text that it is never equal to there is a warning.
    pub(super) fn same(&mut self, one: &Expr, other: &Expr, line: usize) {
        let (left, right) = (self.expr(one, None), self.expr(other, None));
        let (of, kind, text) = match (one, other) {
            (of, Expr::Text(text)) => (of, left, text),
            (Expr::Text(text), of) => (of, right, text),
            _ => return,
        };
        if let Some(instead) = instead(&kind, text) {
            let what = match of {
                Expr::Field(_, name) => format!("'{}'", name.text),
                _ => "this".to_owned(),
            };
            self.warning(line, format!("{what} is never equal to a text; {instead}"));
        }
    }
}

/// How to compare a value with what a text says; nothing if it may be a text, or is not known.
fn instead(kind: &Type, text: &str) -> Option<String> {
    match kind {
        Type::Plain => {
            let number: f64 = text.trim().parse().ok()?;
            Some(format!("compare it with {number}"))
        }
        Type::Class(name, _) if name == "vbuffer.Part" || name == "vbuffer.Buffer" => {
            Some("compare its asstring()".to_owned())
        }
        Type::Class(name, _) if ADDRESSES.contains(&name.as_str()) => {
            let version = if text.contains(':') { "ipv6" } else { "ipv4" };
            let of = if text.contains('/') { "network" } else { "addr" };
            Some(match of {
                "network" => format!("ask {version}.network(\"{text}\"):contains(it)"),
                _ => format!("compare it with {version}.addr(\"{text}\")"),
            })
        }
        Type::Union(kinds) => {
            let all: Option<Vec<_>> = kinds.iter().map(|kind| instead(kind, text)).collect();
            all?.pop()
        }
        Type::Class(..) | Type::Any | Type::List(_) | Type::Function(_) => None,
    }
}

const ADDRESSES: [&str; 2] = ["ipv4.Addr", "ipv6.Addr"];
