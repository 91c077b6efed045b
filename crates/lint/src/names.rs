//! What a script gives a value to, anywhere in its files.

use std::collections::{BTreeMap, BTreeSet};

use crate::syntax::{Block, Call, Entry, Expr, Script, Statement};

/// The names that something is given to.
#[derive(Debug)]
pub(crate) struct Names {
    /// Globals, and how often.
    pub(crate) globals: BTreeMap<String, usize>,
    /// Fields, of whatever: a name that is one somewhere may be one elsewhere.
    pub(crate) fields: BTreeSet<String>,
    /// Whether a dissector of ours is put to work: by `install_tcp_rule`, `install_udp_rule` or `dissect`.
    pub(crate) installs: bool,
    /// Whether the files are all there are, and no name is made up while they run.
    pub(crate) is_whole: bool,
}

impl Names {
    pub(crate) const fn new(is_whole: bool) -> Self {
        Self { globals: BTreeMap::new(), fields: BTreeSet::new(), installs: false, is_whole }
    }

    /// Adds those of one more file.
    pub(crate) fn gather(&mut self, script: &Script) {
        self.block(&script.body);
    }

    fn block(&mut self, block: &Block) {
        block.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Assign(targets, values) => {
                targets.iter().for_each(|target| self.target(target));
                self.all(values);
            }
            Statement::Local(_, values) | Statement::Return(values) => self.all(values),
            Statement::Call(call) => self.expr(call),
            Statement::Do(block) => self.block(block),
            Statement::Loop(condition, block) => {
                self.expr(condition);
                self.block(block);
            }
            Statement::If(branches) => {
                for (condition, block) in branches {
                    condition.iter().for_each(|condition| self.expr(condition));
                    self.block(block);
                }
            }
            Statement::Count(_, values, block) | Statement::For(_, values, block) => {
                self.all(values);
                self.block(block);
            }
            Statement::Function(function) => self.block(&function.body),
        }
    }

    fn target(&mut self, target: &Expr) {
        match target {
            Expr::Global(name) => *self.globals.entry(name.text.clone()).or_default() += 1,
            Expr::Field(of, name) => {
                self.fields.insert(name.text.clone());
                self.expr(of);
            }
            other => self.expr(other),
        }
    }

    fn all(&mut self, list: &[Expr]) {
        list.iter().for_each(|each| self.expr(each));
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            // By it a script may set what it likes.
            Expr::Global(name) if name.text == "_G" => self.is_whole = false,
            Expr::Global(_) | Expr::Local(_) | Expr::Plain | Expr::True | Expr::Text(_) => {}
            Expr::Field(of, name) => {
                self.installs |= INSTALLS.contains(&name.text.as_str());
                self.expr(of);
            }
            Expr::Index(one, other)
            | Expr::And(one, other)
            | Expr::Or(one, other)
            | Expr::Same(one, other, _) => {
                self.expr(one);
                self.expr(other);
            }
            Expr::Call(call) => {
                let Call { callee, arguments, method } = &**call;
                self.installs |= method.iter().any(|name| INSTALLS.contains(&name.text.as_str()));
                self.expr(callee);
                self.all(arguments);
                if let (Expr::Global(name), [_, Expr::Text(field), ..]) =
                    (callee, arguments.as_slice())
                    && name.text == "rawset"
                {
                    self.fields.insert(field.clone());
                }
            }
            Expr::Function(function) => self.block(&function.body),
            Expr::Table(entries) => {
                for entry in entries {
                    match entry {
                        Entry::Item(value) => self.expr(value),
                        Entry::Named(name, value) => {
                            self.fields.insert(name.text.clone());
                            self.expr(value);
                        }
                        Entry::Keyed(key, value) => {
                            self.expr(key);
                            self.expr(value);
                        }
                    }
                }
            }
            Expr::Operation(parts, _) => self.all(parts),
        }
    }
}

const INSTALLS: [&str; 3] = ["install_tcp_rule", "install_udp_rule", "dissect"];
