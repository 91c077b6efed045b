//! A script as it is read: only as much of it as tells what names mean.

use std::collections::BTreeSet;

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A local variable or parameter, by its number in [`Script::locals`].
pub(crate) type Local = usize;

/// One file.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) body: Block,
    /// Whether each local is given another value after its first.
    pub(crate) reassigned: Vec<bool>,
    /// Lines of which nothing is to be said.
    pub(crate) silent: BTreeSet<usize>,
}

pub(crate) type Block = Vec<Statement>;

#[derive(Debug)]
pub(crate) enum Statement {
    Local(Vec<Local>, Vec<Expr>),
    Assign(Vec<Expr>, Vec<Expr>),
    Call(Expr),
    Do(Block),
    /// `while` and `repeat`.
    Loop(Expr, Block),
    /// Each condition with its block; an `else` has none.
    If(Vec<(Option<Expr>, Block)>),
    Count(Local, Vec<Expr>, Block),
    For(Vec<Local>, Vec<Expr>, Block),
    /// A local one, which says itself what its name means.
    Function(Function),
    Return(Vec<Expr>),
}

#[derive(Debug)]
pub(crate) struct Function {
    /// `self` of a method, then those that are named.
    pub(crate) parameters: Vec<Local>,
    pub(crate) body: Block,
}

#[derive(Debug)]
pub(crate) enum Expr {
    /// A value without fields: a number, a truth value, nil; `...`, of which nothing is known.
    Plain,
    True,
    Text(String),
    Local(Local),
    Global(Name),
    Field(Box<Self>, Name),
    Index(Box<Self>, Box<Self>),
    Call(Box<Call>),
    Function(Box<Function>),
    Table(Vec<Entry>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    /// Whether two values are the same, or are not; and where it is asked.
    Same(Box<Self>, Box<Self>, usize),
    /// Any other operator; whether it makes a string.
    Operation(Vec<Self>, bool),
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) callee: Expr,
    pub(crate) method: Option<Name>,
    pub(crate) arguments: Vec<Expr>,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Item(Expr),
    Named(Name, Expr),
    Keyed(Expr, Expr),
}
