//! Types as annotations have them: as much of them as tells which fields something has.

use std::rc::Rc;

/// What is known of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Nothing is known.
    Any,
    /// A number, a truth value, nil: nothing to name in it.
    Plain,
    /// A class by its name, with its parameters; `string` is one.
    Class(String, Vec<Self>),
    List(Box<Self>),
    Function(Rc<Signature>),
    /// One of these.
    Union(Vec<Self>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) parameters: Vec<Type>,
    pub(crate) returns: Vec<Type>,
    /// Names that stand for types, found out anew at each call.
    pub(crate) generics: Vec<String>,
    /// The class whose fields are globals within a function that is given to it.
    pub(crate) environment: Option<String>,
    /// What stands before the name, if it was declared with one.
    pub(crate) declared: Option<Mark>,
}

/// How a function is declared, and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Dot,
    Colon,
}

impl Type {
    pub(crate) fn text() -> Self {
        Self::Class("string".to_owned(), Vec::new())
    }

    /// This or that.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => Self::Any,
            (Self::Plain, one) | (one, Self::Plain) => one,
            (one, other) if one == other => one,
            (one, other) => {
                let mut all = one.alternatives();
                for each in other.alternatives() {
                    if !all.contains(&each) {
                        all.push(each);
                    }
                }
                Self::Union(all)
            }
        }
    }

    pub(crate) fn alternatives(self) -> Vec<Self> {
        match self {
            Self::Union(all) => all,
            one => vec![one],
        }
    }

    /// With other types in the place of some names.
    pub(crate) fn with(&self, names: &[String], types: &[Self]) -> Self {
        let all = |list: &[Self]| list.iter().map(|each| each.with(names, types)).collect();
        match self {
            Self::Class(name, given) => match names.iter().position(|each| each == name) {
                Some(index) => types.get(index).cloned().unwrap_or(Self::Any),
                None => Self::Class(name.clone(), all(given)),
            },
            Self::List(of) => Self::List(Box::new(of.with(names, types))),
            Self::Union(list) => list
                .iter()
                .map(|each| each.with(names, types))
                .reduce(Self::or)
                .unwrap_or(Self::Any),
            Self::Function(signature) => Self::Function(Rc::new(Signature {
                parameters: all(&signature.parameters),
                returns: all(&signature.returns),
                generics: signature.generics.clone(),
                environment: signature.environment.clone(),
                declared: signature.declared,
            })),
            Self::Any | Self::Plain => self.clone(),
        }
    }

    /// What names stand for, found by laying this, with the names in it, over a type without them.
    pub(crate) fn bind(&self, other: &Self, names: &[String], found: &mut [Self]) {
        match (self, other) {
            (Self::Class(name, given), _) => {
                if let Some(place) = names
                    .iter()
                    .position(|each| each == name)
                    .and_then(|index| found.get_mut(index))
                {
                    *place = other.clone();
                } else if let Self::Class(other_name, others) = other
                    && name == other_name
                {
                    for (one, another) in given.iter().zip(others) {
                        one.bind(another, names, found);
                    }
                }
            }
            (Self::List(of), Self::List(other)) => of.bind(other, names, found),
            _ => {}
        }
    }
}

/// Reads a type at the beginning of a text; what follows it is for people.
pub(crate) fn parse(text: &str) -> Option<Type> {
    Reader { rest: text }.union()
}

/// Reads types with commas between them.
pub(crate) fn parse_list(text: &str) -> Option<Vec<Type>> {
    Reader { rest: text }.list()
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, text: &str) -> bool {
        match self.rest.trim_start().strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> Option<String> {
        let rest = self.rest.trim_start();
        let len =
            rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        let (word, rest) = rest.split_at(len);
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }

    fn list(&mut self) -> Option<Vec<Type>> {
        let mut list = vec![self.union()?];
        while self.eat(",") {
            list.push(self.union()?);
        }
        Some(list)
    }

    fn union(&mut self) -> Option<Type> {
        let mut all = self.one()?;
        while self.eat("|") {
            all = all.or(self.one()?);
        }
        Some(all)
    }

    fn one(&mut self) -> Option<Type> {
        let mut found = if self.eat("(") {
            let inner = self.union()?;
            self.eat(")").then_some(inner)?
        } else if self.eat("\"") {
            let (_, rest) = self.rest.split_once('"')?;
            self.rest = rest;
            Type::text()
        } else {
            self.named()?
        };
        // These stand close to it: a space ends the type.
        loop {
            if let Some(rest) = self.rest.strip_prefix("[]") {
                self.rest = rest;
                found = Type::List(Box::new(found));
            } else if let Some(rest) = self.rest.strip_prefix('?') {
                self.rest = rest;
            } else {
                return Some(found);
            }
        }
    }

    fn named(&mut self) -> Option<Type> {
        let word = self.word()?;
        Some(match word.as_str() {
            "any" | "table" | "unknown" => Type::Any,
            "number" | "integer" | "boolean" | "nil" => Type::Plain,
            "fun" => return self.function(),
            _ => {
                let given = if self.rest.starts_with('<') && self.eat("<") {
                    self.list()?
                } else {
                    Vec::new()
                };
                if !given.is_empty() && !self.eat(">") {
                    return None;
                }
                Type::Class(word, given)
            }
        })
    }

    fn function(&mut self) -> Option<Type> {
        let mut signature = Signature::default();
        if !self.eat("(") {
            return None;
        }
        while !self.eat(")") {
            if !self.eat("...") {
                self.word()?;
                self.eat("?");
            }
            signature.parameters.push(if self.eat(":") { self.union()? } else { Type::Any });
            self.eat(",");
        }
        if self.rest.starts_with(':') && self.eat(":") {
            signature.returns = self.list()?;
        }
        Some(Type::Function(Rc::new(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> Type {
        Type::Class(name.to_owned(), Vec::new())
    }

    #[test]
    fn a_type_ends_where_its_comment_begins() {
        assert_eq!(parse("integer In bytes"), Some(Type::Plain));
        assert_eq!(parse("a.B? What it is"), Some(class("a.B")));
        assert_eq!(parse("a.B|nil|c.D"), Some(Type::Union(vec![class("a.B"), class("c.D")])));
        assert_eq!(parse("\"up\"|\"down\""), Some(Type::text()));
        assert_eq!(parse("a.B[] Many"), Some(Type::List(Box::new(class("a.B")))));
        assert_eq!(parse("a.B|any"), Some(Type::Any));
        assert_eq!(parse("<"), None);
        let Some(Type::Class(name, given)) =
            parse("haka.Event<fun(a: x.A, b?: x.B): boolean, integer>")
        else {
            unreachable!();
        };
        let [Type::Function(signature)] = given.as_slice() else { unreachable!() };
        assert_eq!((name.as_str(), signature.parameters.len()), ("haka.Event", 2));
        assert_eq!(signature.returns, [Type::Plain, Type::Plain]);
    }

    #[test]
    fn a_name_is_bound_by_what_stands_in_its_place() {
        let names = ["F".to_owned()];
        let mut found = [Type::Any];
        let event = |of: &str| parse(&format!("haka.Event<{of}>")).unwrap();
        event("F").bind(&event("fun(a: x.A)"), &names, &mut found);
        assert_eq!(found[0], parse("fun(a: x.A)").unwrap());
        assert_eq!(event("F").with(&names, &found), event("fun(a: x.A)"));
    }
}
