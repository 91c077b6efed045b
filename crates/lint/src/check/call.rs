use std::rc::Rc;

use super::{Checker, Use};
use crate::suggestion;
use crate::syntax::{Call, Entry, Expr};
use crate::types::{Mark, Signature, Type};

/// What a group's `continue` gets: what the rule returned, then what the event gives.
const GROUP: (&str, &str) = ("haka.RuleGroup", "continue");
const PART: &str = "vbuffer.Part";
const ITERATOR: &str = "vbuffer.Iterator";

impl Checker<'_> {
    /// The types of what a call gives.
    pub(super) fn call(&mut self, call: &Call) -> Vec<Type> {
        let (of, called) = match (&call.callee, &call.method) {
            (callee, Some(name)) => {
                let of = self.needed(callee);
                let called = self.field(&of, name, Use::Needed);
                (of, called)
            }
            (Expr::Field(of, name), None) => {
                let of = self.needed(of);
                let called = self.field(&of, name, Use::Read);
                (of, called)
            }
            (callee, None) => (Type::Any, self.needed(callee)),
        };
        if let Some(module) = self.required(call) {
            return vec![module];
        }
        let signature = match called {
            Type::Function(signature) => {
                self.mark(call, &of, signature.declared);
                Some(signature)
            }
            Type::Class(class, _) => {
                self.library.classes.get(&class).and_then(|class| class.call.clone())
            }
            _ => None,
        };
        match signature {
            Some(signature) => self.arguments(&signature, &call.arguments),
            None => {
                self.values(&call.arguments, call.arguments.len());
                Vec::new()
            }
        }
    }

    /// Complains of a dot where there should be a colon, and the other way round. `of` is what stands before it.
    fn mark(&mut self, call: &Call, of: &Type, declared: Option<Mark>) {
        let Type::Class(class, _) = of else { return };
        match (&call.method, &call.callee, declared) {
            (None, Expr::Field(_, name), Some(Mark::Colon)) if !self.may_be(of, call) => {
                let message =
                    format!("'{0}' is a method: call it with a colon, as in it:{0}(…)", name.text);
                self.fault(name.line, message);
            }
            (Some(name), _, Some(Mark::Dot))
                if class != "string" && self.library.is_shared(class) =>
            {
                let message = format!(
                    "'{0}' is no method: call it with a dot, as in {class}.{0}(…)",
                    name.text
                );
                self.fault(name.line, message);
            }
            _ => {}
        }
    }

    /// Whether the first argument may be the object that a method is of.
    fn may_be(&self, of: &Type, call: &Call) -> bool {
        match call.arguments.first() {
            None | Some(Expr::Plain | Expr::True | Expr::Text(_)) => false,
            Some(Expr::Local(local)) => {
                self.locals.get(*local).is_none_or(|kind| kind == of || *kind == Type::Any)
            }
            Some(_) => true,
        }
    }

    /// What `require("name")` gives, if the name is one of ours.
    fn required(&self, call: &Call) -> Option<Type> {
        match (&call.callee, call.arguments.as_slice()) {
            (Expr::Global(name), [Expr::Text(module)]) if name.text == "require" => {
                self.library.modules.get(module).cloned()
            }
            _ => None,
        }
    }

    /// Looks at the arguments; gives what the call returns for them.
    fn arguments(&mut self, signature: &Signature, arguments: &[Expr]) -> Vec<Type> {
        let names = &signature.generics;
        let mut bound = vec![Type::Any; names.len()];
        if let Some(words) = &signature.environment {
            self.environments.push(words.clone());
        }
        for (index, argument) in arguments.iter().enumerate() {
            let wanted = signature.parameters.get(index);
            match (argument, wanted) {
                (Expr::Table(entries), Some(Type::Class(class, given))) if !names.is_empty() => {
                    self.entries(entries, class, given, names, &mut bound);
                }
                _ => drop(self.expr(argument, wanted)),
            }
        }
        if signature.environment.is_some() {
            self.environments.pop();
        }
        signature.returns.iter().map(|kind| kind.with(names, &bound)).collect()
    }

    /// A table that is given for `wanted`.
    pub(super) fn table(&mut self, entries: &[Entry], wanted: Option<&Type>) {
        let kinds = wanted.cloned().unwrap_or(Type::Any).alternatives();
        let list = kinds.iter().find_map(|kind| match kind {
            Type::List(of) => Some((**of).clone()),
            _ => None,
        });
        let class = kinds.into_iter().find_map(|kind| match kind {
            Type::Class(name, given) if self.library.classes.contains_key(&name) => {
                Some((name, given))
            }
            _ => None,
        });
        match class {
            Some((class, given)) => self.entries(entries, &class, &given, &[], &mut []),
            None => entries.iter().for_each(|entry| self.entry(entry, list.as_ref())),
        }
    }

    fn entry(&mut self, entry: &Entry, wanted: Option<&Type>) {
        match entry {
            Entry::Item(value) => drop(self.expr(value, wanted)),
            Entry::Named(_, value) => drop(self.expr(value, None)),
            Entry::Keyed(key, value) => {
                self.expr(key, None);
                self.expr(value, None);
            }
        }
    }

    /// The entries of a table that is given for a class; those that are functions come last, since the others tell
    /// what they are called with.
    fn entries(
        &mut self,
        entries: &[Entry],
        class: &str,
        given: &[Type],
        names: &[String],
        bound: &mut [Type],
    ) {
        let is_function = |entry: &&Entry| matches!(entry, Entry::Named(_, Expr::Function(_)));
        for entry in entries.iter().filter(|entry| !is_function(entry)) {
            let Entry::Named(name, value) = entry else {
                self.entry(entry, None);
                continue;
            };
            let wanted = self.library.field(class, given, &name.text);
            if wanted.is_none() {
                self.unknown_key(class, name);
            }
            let kind = self.expr(value, wanted.as_ref());
            if let Some(wanted) = wanted {
                wanted.bind(&kind, names, bound);
            }
        }
        let streamed = streamed(entries);
        for entry in entries.iter().filter(is_function) {
            let Entry::Named(name, value) = entry else { continue };
            let wanted =
                self.library.field(class, given, &name.text).map(|kind| kind.with(names, bound));
            if wanted.is_none() {
                self.unknown_key(class, name);
            }
            let wanted = match (wanted, bound.first()) {
                (Some(_), Some(Type::Function(event))) if (class, name.text.as_str()) == GROUP => {
                    let parameters = std::iter::once(&Type::Any).chain(&event.parameters);
                    let signature = Signature {
                        parameters: parameters.cloned().collect(),
                        ..Signature::default()
                    };
                    Some(Type::Function(Rc::new(signature)))
                }
                (wanted, _) => wanted,
            };
            let wanted = wanted.map(|kind| read_as(&kind, streamed));
            self.expr(value, wanted.as_ref());
        }
    }

    fn unknown_key(&mut self, class: &str, name: &crate::syntax::Name) {
        if self.library.classes.get(class).is_some_and(|class| class.is_exact) {
            let near = suggestion(&name.text, self.library.fields(class));
            self.fault(name.line, format!("unknown key '{}' in {class}{near}", name.text));
        }
    }
}

/// Whether a rule is streamed; nothing if that cannot be seen.
fn streamed(entries: &[Entry]) -> Option<bool> {
    let named = |list: &[Entry], wanted: &str| {
        list.iter().position(|entry| matches!(entry, Entry::Named(name, _) if name.text == wanted))
    };
    let Some(at) = named(entries, "options") else { return Some(false) };
    let Some(Entry::Named(_, Expr::Table(options))) = entries.get(at) else { return None };
    let Some(at) = named(options, "streamed") else { return Some(false) };
    matches!(options.get(at), Some(Entry::Named(_, Expr::True))).then_some(true)
}

/// A rule's function as it is called: with a part of the stream, or with an iterator over it.
fn read_as(kind: &Type, streamed: Option<bool>) -> Type {
    let (Type::Function(signature), Some(streamed)) = (kind, streamed) else { return kind.clone() };
    let class = |name: &str| Type::Class(name.to_owned(), Vec::new());
    let both = class(PART).or(class(ITERATOR));
    let parameters = signature.parameters.iter().map(|parameter| {
        if *parameter == both {
            class(if streamed { ITERATOR } else { PART })
        } else {
            parameter.clone()
        }
    });
    Type::Function(Rc::new(Signature { parameters: parameters.collect(), ..(**signature).clone() }))
}
