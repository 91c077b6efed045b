//! Reads a text that LuaJIT has accepted, or says on which line it gave up. Names are resolved on the way: which
//! are locals, and which of these keep their first value.
mod expression;

use std::collections::BTreeSet;

use crate::lexer::{Kind, Word, words};
use crate::syntax::{Block, Expr, Function, Local, Name, Script, Statement};

/// LuaJIT itself gives up at 200.
const DEPTH_MAX: usize = 250;
/// Operators or calls behind each other; whoever follows them calls itself for each.
const CHAIN_MAX: usize = 2000;

/// The line on which reading ended.
pub(crate) type Read<T> = Result<T, usize>;

/// Reads a whole file.
pub(crate) fn parse(text: &[u8]) -> Read<Script> {
    let words = words(text)?;
    let mut parser =
        Parser { words, at: 0, depth: 0, scopes: vec![Vec::new()], reassigned: Vec::new() };
    let body = parser.block()?;
    match parser.kind() {
        Kind::End => Ok(Script { body, reassigned: parser.reassigned, silent: silent(text) }),
        _ => Err(parser.line()),
    }
}

/// The lines that a comment wants nothing said of: its own, or the next one.
fn silent(text: &[u8]) -> BTreeSet<usize> {
    let text = String::from_utf8_lossy(text);
    let asked = text.lines().enumerate().filter_map(|(index, line)| {
        let (_, asked) = line.split_once("---@diagnostic ")?;
        if asked.starts_with("disable-next-line") {
            Some(index + 2)
        } else {
            asked.starts_with("disable-line").then_some(index + 1)
        }
    });
    asked.collect()
}

pub(crate) struct Parser {
    words: Vec<Word>,
    at: usize,
    depth: usize,
    /// The locals that can be named here, the innermost scope last.
    scopes: Vec<Vec<(String, Local)>>,
    reassigned: Vec<bool>,
}

const KEYWORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local",
    "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
];

impl Parser {
    fn kind(&self) -> &Kind {
        self.words.get(self.at).map_or(&Kind::End, |word| &word.kind)
    }

    fn line(&self) -> usize {
        self.words.get(self.at).or_else(|| self.words.last()).map_or(1, |word| word.line)
    }

    fn is(&self, text: &str) -> bool {
        self.is_at(0, text)
    }

    fn is_at(&self, ahead: usize, text: &str) -> bool {
        match self.words.get(self.at + ahead).map(|word| &word.kind) {
            Some(Kind::Name(name)) => name == text,
            Some(Kind::Sign(sign)) => *sign == text,
            _ => false,
        }
    }

    fn eat(&mut self, text: &str) -> bool {
        let is = self.is(text);
        self.at += usize::from(is);
        is
    }

    fn want(&mut self, text: &str) -> Read<()> {
        if self.eat(text) { Ok(()) } else { Err(self.line()) }
    }

    fn name(&mut self) -> Read<Name> {
        let line = self.line();
        match self.kind() {
            Kind::Name(name) if !KEYWORDS.contains(&name.as_str()) => {
                let text = name.clone();
                self.at += 1;
                Ok(Name { text, line })
            }
            _ => Err(line),
        }
    }

    /// Whether another name stands here, and not a keyword.
    fn at_name(&self, ahead: usize) -> bool {
        match self.words.get(self.at + ahead).map(|word| &word.kind) {
            Some(Kind::Name(name)) => !KEYWORDS.contains(&name.as_str()),
            _ => false,
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth >= DEPTH_MAX {
            return Err(self.line());
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn declare(&mut self, name: String) -> Local {
        let local = self.reassigned.len();
        self.reassigned.push(false);
        if let Some(scope) = self.scopes.last_mut() {
            scope.push((name, local));
        }
        local
    }

    fn resolve(&self, name: &str) -> Option<Local> {
        let named = |scope: &Vec<(String, Local)>| {
            scope.iter().rev().find(|(known, _)| known == name).map(|(_, local)| *local)
        };
        self.scopes.iter().rev().find_map(named)
    }

    /// A block with a scope of its own, up to the keyword that ends it, which stays.
    fn scoped(&mut self, names: Vec<String>) -> Read<(Vec<Local>, Block)> {
        self.scopes.push(Vec::new());
        let locals = names.into_iter().map(|name| self.declare(name)).collect();
        let block = self.block();
        self.scopes.pop();
        Ok((locals, block?))
    }

    fn block(&mut self) -> Read<Block> {
        let mut block = Vec::new();
        loop {
            if self.eat(";") {
                continue;
            }
            let ends = ["end", "else", "elseif", "until"].iter().any(|end| self.is(end));
            if ends || *self.kind() == Kind::End {
                return Ok(block);
            }
            if let Some(statement) = self.deeper(Self::statement)? {
                block.push(statement);
            }
        }
    }

    /// One statement, if it tells anything about names.
    fn statement(&mut self) -> Read<Option<Statement>> {
        if self.eat("::") {
            self.name()?;
            self.want("::")?;
            return Ok(None);
        }
        // `goto` is no keyword in all of LuaJIT's modes.
        if self.is("goto") && self.at_name(1) {
            self.at += 2;
            return Ok(None);
        }
        if self.eat("break") {
            return Ok(None);
        }
        let Kind::Name(word) = self.kind() else { return self.plain_statement().map(Some) };
        match word.clone().as_str() {
            "local" => self.local(),
            "do" => {
                self.at += 1;
                let (_, block) = self.scoped(Vec::new())?;
                self.want("end")?;
                Ok(Statement::Do(block))
            }
            "while" => {
                self.at += 1;
                let condition = self.expression()?;
                self.want("do")?;
                let (_, block) = self.scoped(Vec::new())?;
                self.want("end")?;
                Ok(Statement::Loop(condition, block))
            }
            "repeat" => self.repeat(),
            "if" => self.branches(),
            "for" => self.counted_or_for(),
            "function" => self.function_statement(),
            "return" => {
                self.at += 1;
                let ends = ["end", "else", "elseif", "until", ";"].iter().any(|end| self.is(end));
                let values = if ends || *self.kind() == Kind::End {
                    Vec::new()
                } else {
                    self.expressions()?
                };
                Ok(Statement::Return(values))
            }
            _ => self.plain_statement(),
        }
        .map(Some)
    }

    fn local(&mut self) -> Read<Statement> {
        self.at += 1;
        if self.eat("function") {
            let name = self.name()?;
            self.declare(name.text);
            return self.function(false).map(Statement::Function);
        }
        let names = self.names()?;
        let values = if self.eat("=") { self.expressions()? } else { Vec::new() };
        // They are seen from the next statement on.
        let locals = names.into_iter().map(|name| self.declare(name)).collect();
        Ok(Statement::Local(locals, values))
    }

    fn names(&mut self) -> Read<Vec<String>> {
        let mut names = vec![self.name()?.text];
        while self.eat(",") {
            names.push(self.name()?.text);
        }
        Ok(names)
    }

    /// The condition sees the locals of the block.
    fn repeat(&mut self) -> Read<Statement> {
        self.at += 1;
        self.scopes.push(Vec::new());
        let block = self.block();
        let condition = self.want("until").and_then(|()| self.expression());
        self.scopes.pop();
        Ok(Statement::Loop(condition?, block?))
    }

    fn branches(&mut self) -> Read<Statement> {
        let mut branches = Vec::new();
        while self.eat("if") || self.eat("elseif") {
            let condition = self.expression()?;
            self.want("then")?;
            branches.push((Some(condition), self.scoped(Vec::new())?.1));
        }
        if self.eat("else") {
            branches.push((None, self.scoped(Vec::new())?.1));
        }
        self.want("end")?;
        Ok(Statement::If(branches))
    }

    fn counted_or_for(&mut self) -> Read<Statement> {
        self.at += 1;
        let names = self.names()?;
        let is_counted = self.eat("=");
        if !is_counted {
            self.want("in")?;
        }
        let values = self.expressions()?;
        self.want("do")?;
        let (locals, block) = self.scoped(names)?;
        self.want("end")?;
        match (is_counted, locals.first()) {
            (true, Some(&local)) => Ok(Statement::Count(local, values, block)),
            _ => Ok(Statement::For(locals, values, block)),
        }
    }

    fn function_statement(&mut self) -> Read<Statement> {
        self.at += 1;
        let name = self.name()?;
        let mut target = self.variable(name);
        let mut is_method = false;
        while self.is(".") || self.is(":") {
            is_method = self.is(":");
            self.at += 1;
            target = Expr::Field(Box::new(target), self.name()?);
        }
        if let Expr::Local(local) = target {
            self.mark(local);
        }
        let function = Expr::Function(Box::new(self.function(is_method)?));
        Ok(Statement::Assign(vec![target], vec![function]))
    }

    /// Parameters and body; `function` and the name are read.
    fn function(&mut self, is_method: bool) -> Read<Function> {
        self.want("(")?;
        let mut names: Vec<String> = is_method.then(|| "self".to_owned()).into_iter().collect();
        while !self.eat(")") {
            if !self.eat("...") {
                names.push(self.name()?.text);
            }
            if !self.eat(",") && !self.is(")") {
                return Err(self.line());
            }
        }
        let (parameters, body) = self.scoped(names)?;
        self.want("end")?;
        Ok(Function { parameters, body })
    }

    /// A call or an assignment.
    fn plain_statement(&mut self) -> Read<Statement> {
        let first = self.suffixed()?;
        if !self.is("=") && !self.is(",") {
            return if matches!(first, Expr::Call(_)) {
                Ok(Statement::Call(first))
            } else {
                Err(self.line())
            };
        }
        let mut targets = vec![first];
        while self.eat(",") {
            targets.push(self.suffixed()?);
        }
        self.want("=")?;
        let values = self.expressions()?;
        for target in &targets {
            if let Expr::Local(local) = target {
                self.mark(*local);
            }
        }
        Ok(Statement::Assign(targets, values))
    }

    fn mark(&mut self, local: Local) {
        if let Some(reassigned) = self.reassigned.get_mut(local) {
            *reassigned = true;
        }
    }
}
