//! Follows what the names of one file mean, and complains of those that mean nothing.
//!
//! One pass, in the order of the text: a local that keeps its first value has that value's type, a parameter the one that
//! its function is called with, where that can be known; all else is [`Type::Any`], of which nothing is said.
mod call;
mod field;
mod same;

use std::collections::BTreeMap;

use crate::library::Library;
use crate::names::Names;
use crate::syntax::{Block, Expr, Function, Local, Name, Script, Statement};
use crate::types::Type;
use crate::{Severity, suggestion};

/// A line, how sure it is, and what is wrong there.
pub(crate) type Found = (usize, Severity, String);

/// What is wrong with one file of a script; `names` are those of all of them.
pub(crate) fn check(library: &Library, names: &Names, script: &Script) -> Vec<Found> {
    let locals = vec![Type::Any; script.reassigned.len()];
    let mut checker = Checker {
        library,
        names,
        script,
        locals,
        globals: BTreeMap::new(),
        environments: Vec::new(),
        found: Vec::new(),
    };
    checker.block(&script.body);
    checker.found
}

struct Checker<'a> {
    library: &'a Library,
    names: &'a Names,
    script: &'a Script,
    locals: Vec<Type>,
    /// The script's own, those that are set once only.
    globals: BTreeMap<String, Type>,
    /// Classes whose fields are globals here.
    environments: Vec<String>,
    found: Vec<Found>,
}

/// What a name stands in for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    /// Its fields are asked for, or it is called: nil will not do.
    Needed,
    Write,
}

impl Checker<'_> {
    fn fault(&mut self, line: usize, message: String) {
        self.found.push((line, Severity::Fault, message));
    }

    fn warning(&mut self, line: usize, message: String) {
        self.found.push((line, Severity::Warning, message));
    }

    fn block(&mut self, block: &Block) {
        for statement in block {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Local(locals, values) => {
                let kinds = self.values(values, locals.len());
                for (&local, kind) in locals.iter().zip(kinds) {
                    self.declare(local, kind);
                }
            }
            Statement::Assign(targets, values) => {
                let kinds = self.values(values, targets.len());
                for (target, kind) in targets.iter().zip(kinds) {
                    self.assign(target, kind);
                }
            }
            Statement::Call(call) => drop(self.expr(call, None)),
            Statement::Do(block) => self.block(block),
            Statement::Loop(condition, block) => {
                self.expr(condition, None);
                self.block(block);
            }
            Statement::If(branches) => {
                for (condition, block) in branches {
                    if let Some(condition) = condition {
                        self.expr(condition, None);
                    }
                    self.block(block);
                }
            }
            Statement::Count(local, values, block) => {
                self.values(values, values.len());
                self.declare(*local, Type::Plain);
                self.block(block);
            }
            Statement::For(locals, values, block) => {
                let kinds = self.over(values);
                for (&local, kind) in locals.iter().zip(kinds) {
                    self.declare(local, kind);
                }
                self.block(block);
            }
            Statement::Function(function) => self.function(function, None),
            Statement::Return(values) => drop(self.values(values, values.len())),
        }
    }

    /// A local's type is that of its only value.
    fn declare(&mut self, local: Local, kind: Type) {
        if self.script.reassigned.get(local) == Some(&false)
            && let Some(place) = self.locals.get_mut(local)
        {
            *place = kind;
        }
    }

    fn assign(&mut self, target: &Expr, kind: Type) {
        match target {
            Expr::Global(name) if self.names.globals.get(&name.text) == Some(&1) => {
                self.globals.insert(name.text.clone(), kind);
            }
            Expr::Field(of, name) => {
                let of = self.needed(of);
                self.field(&of, name, Use::Write);
            }
            Expr::Index(of, key) => {
                self.needed(of);
                self.expr(key, None);
            }
            _ => {}
        }
    }

    /// The types of so many values of a list, the last of which may be a call that gives several.
    fn values(&mut self, list: &[Expr], count: usize) -> Vec<Type> {
        let mut kinds = Vec::new();
        for (index, expr) in list.iter().enumerate() {
            match expr {
                Expr::Call(call) if index + 1 == list.len() && count > list.len() => {
                    kinds.extend(self.call(call));
                }
                expr => kinds.push(self.expr(expr, None)),
            }
        }
        kinds.resize(count, if list.is_empty() { Type::Plain } else { Type::Any });
        kinds
    }

    /// The types of what a `for` goes over.
    fn over(&mut self, values: &[Expr]) -> Vec<Type> {
        if let [Expr::Call(call)] = values
            && let (Expr::Global(name), [list]) = (&call.callee, call.arguments.as_slice())
            && name.text == "ipairs"
        {
            let element = match self.expr(list, None) {
                Type::List(of) => *of,
                _ => Type::Any,
            };
            return vec![Type::Plain, element];
        }
        match self.values(values, values.len()).into_iter().next() {
            Some(Type::Function(signature)) => signature.returns.clone(),
            _ => Vec::new(),
        }
    }

    /// The type of an expression, all of which is looked at. `wanted` is what it is given to, as far as that is known.
    fn expr(&mut self, expr: &Expr, wanted: Option<&Type>) -> Type {
        match expr {
            Expr::Plain | Expr::True => Type::Plain,
            Expr::Text(_) => Type::text(),
            Expr::Local(local) => self.locals.get(*local).cloned().unwrap_or(Type::Any),
            Expr::Global(name) => self.global(name, Use::Read),
            Expr::Field(of, name) => {
                let of = self.needed(of);
                self.field(&of, name, Use::Read)
            }
            Expr::Index(of, key) => {
                self.expr(key, None);
                match self.needed(of) {
                    Type::List(of) => *of,
                    _ => Type::Any,
                }
            }
            Expr::Call(call) => self.call(call).into_iter().next().unwrap_or(Type::Any),
            Expr::Function(function) => {
                self.function(function, wanted);
                Type::Any
            }
            Expr::Table(entries) => {
                self.table(entries, wanted);
                Type::Any
            }
            // `a and b` may be false; whoever then asks for its fields means b.
            Expr::And(one, other) => {
                self.expr(one, None);
                self.expr(other, wanted)
            }
            Expr::Or(one, other) => {
                let one = self.expr(one, wanted);
                let other = self.expr(other, wanted);
                one.or(other)
            }
            Expr::Same(one, other, line) => {
                self.same(one, other, *line);
                Type::Plain
            }
            Expr::Operation(parts, makes_text) => {
                self.values(parts, parts.len());
                if *makes_text { Type::text() } else { Type::Plain }
            }
        }
    }

    /// The same of what must not be nil.
    fn needed(&mut self, expr: &Expr) -> Type {
        match expr {
            Expr::Global(name) => self.global(name, Use::Needed),
            expr => self.expr(expr, None),
        }
    }

    fn global(&mut self, name: &Name, used: Use) -> Type {
        let text = name.text.as_str();
        if self.names.globals.contains_key(text) {
            return self.globals.get(text).cloned().unwrap_or(Type::Any);
        }
        let words = |class: &String| self.library.field(class, &[], text);
        if let Some(word) = self.environments.iter().rev().find_map(words) {
            return word;
        }
        if let Some(kind) = self.library.globals.get(text) {
            return kind.clone();
        }
        if self.names.is_whole {
            let known = self.library.globals.keys().chain(self.names.globals.keys());
            let suggestion = suggestion(text, known.map(String::as_str));
            if used == Use::Read {
                self.warning(
                    name.line,
                    format!("nothing sets the global '{text}': it is nil{suggestion}"),
                );
            } else {
                self.fault(name.line, format!("unknown global '{text}'{suggestion}"));
            }
        }
        Type::Any
    }

    /// A function that is called as `wanted` says.
    fn function(&mut self, function: &Function, wanted: Option<&Type>) {
        let wanted = wanted.cloned().unwrap_or(Type::Any).alternatives();
        for kind in wanted {
            let Type::Function(signature) = kind else { continue };
            for (&local, kind) in function.parameters.iter().zip(&signature.parameters) {
                self.declare(local, kind.clone());
            }
        }
        self.block(&function.body);
    }
}
