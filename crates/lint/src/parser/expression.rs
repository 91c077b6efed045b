use super::{CHAIN_MAX, Parser, Read};
use crate::lexer::Kind;
use crate::syntax::{Call, Entry, Expr, Name};

/// How tightly an operator binds. What is right-associative makes no difference to us.
fn tightness(operator: &str) -> Option<u8> {
    Some(match operator {
        "or" => 1,
        "and" => 2,
        "<" | ">" | "<=" | ">=" | "~=" | "==" => 3,
        "|" | "~" | "&" | "<<" | ">>" => 4,
        ".." => 5,
        "+" | "-" => 6,
        "*" | "/" | "//" | "%" => 7,
        _ => return None,
    })
}

impl Parser {
    pub(super) fn expressions(&mut self) -> Read<Vec<Expr>> {
        let mut list = vec![self.expression()?];
        while self.eat(",") {
            list.push(self.expression()?);
        }
        Ok(list)
    }

    pub(super) fn expression(&mut self) -> Read<Expr> {
        self.binary(0)
    }

    /// Operands and the operators between them that bind tighter than `least`.
    fn binary(&mut self, least: u8) -> Read<Expr> {
        let mut left = self.deeper(Self::unary)?;
        for _ in 0..CHAIN_MAX {
            let operator = match self.kind() {
                Kind::Name(word) => word.clone(),
                Kind::Sign(sign) => (*sign).to_owned(),
                _ => return Ok(left),
            };
            let Some(tightness) = tightness(&operator).filter(|&tightness| tightness > least)
            else {
                return Ok(left);
            };
            let line = self.line();
            self.at += 1;
            let right = self.deeper(|parser| parser.binary(tightness))?;
            left = match operator.as_str() {
                "or" => Expr::Or(Box::new(left), Box::new(right)),
                "and" => Expr::And(Box::new(left), Box::new(right)),
                ".." => join(left, right),
                "==" | "~=" => Expr::Same(Box::new(left), Box::new(right), line),
                _ => Expr::Operation(vec![left, right], false),
            };
        }
        Err(self.line())
    }

    fn unary(&mut self) -> Read<Expr> {
        let mut count = 0;
        while ["not", "-", "#", "~"].iter().any(|operator| self.is(operator)) {
            self.at += 1;
            count += 1;
        }
        let operand = self.simple()?;
        // A power binds tighter on its left and looser on its right.
        let operand = if self.eat("^") {
            let power = self.deeper(Self::unary)?;
            Expr::Operation(vec![operand, power], false)
        } else {
            operand
        };
        Ok(if count > 0 { Expr::Operation(vec![operand], false) } else { operand })
    }

    fn simple(&mut self) -> Read<Expr> {
        let Kind::Name(word) = self.kind() else {
            return if self.is("...") { self.plain() } else { self.suffixed() };
        };
        match word.as_str() {
            "true" => {
                self.at += 1;
                Ok(Expr::True)
            }
            "nil" | "false" => self.plain(),
            "function" => {
                self.at += 1;
                Ok(Expr::Function(Box::new(self.function(false)?)))
            }
            _ => self.suffixed(),
        }
    }

    fn plain(&mut self) -> Read<Expr> {
        self.at += 1;
        Ok(Expr::Plain)
    }

    /// What can be indexed and called, with all that stands behind it.
    pub(super) fn suffixed(&mut self) -> Read<Expr> {
        let mut expr = self.primary()?;
        for _ in 0..CHAIN_MAX {
            let line = self.line();
            if self.eat(".") {
                expr = Expr::Field(Box::new(expr), self.name()?);
            } else if self.eat("[") {
                let key = self.expression()?;
                self.want("]")?;
                expr = index(expr, key, line);
            } else if self.is(":") && self.at_name(1) {
                self.at += 1;
                let method = self.name()?;
                let arguments = self.arguments()?.ok_or(line)?;
                expr = Expr::Call(Box::new(Call { callee: expr, method: Some(method), arguments }));
            } else if let Some(arguments) = self.arguments()? {
                expr = Expr::Call(Box::new(Call { callee: expr, method: None, arguments }));
            } else {
                return Ok(expr);
            }
        }
        Err(self.line())
    }

    fn primary(&mut self) -> Read<Expr> {
        if self.eat("(") {
            let inner = self.expression()?;
            self.want(")")?;
            return Ok(inner);
        }
        if self.is("{") {
            return self.deeper(Self::table);
        }
        match self.kind() {
            Kind::Text(text) => {
                let text = text.clone();
                self.at += 1;
                Ok(Expr::Text(text))
            }
            Kind::Number => self.plain(),
            _ => {
                let name = self.name()?;
                Ok(self.variable(name))
            }
        }
    }

    pub(super) fn variable(&self, name: Name) -> Expr {
        self.resolve(&name.text).map_or(Expr::Global(name), Expr::Local)
    }

    /// The arguments of a call, if there is one here.
    fn arguments(&mut self) -> Read<Option<Vec<Expr>>> {
        if let Kind::Text(text) = self.kind() {
            let text = text.clone();
            self.at += 1;
            return Ok(Some(vec![Expr::Text(text)]));
        }
        if self.is("{") {
            return Ok(Some(vec![self.deeper(Self::table)?]));
        }
        if !self.eat("(") {
            return Ok(None);
        }
        let list = if self.is(")") { Vec::new() } else { self.expressions()? };
        self.want(")")?;
        Ok(Some(list))
    }

    fn table(&mut self) -> Read<Expr> {
        self.want("{")?;
        let mut entries = Vec::new();
        while !self.eat("}") {
            let line = self.line();
            entries.push(if self.eat("[") {
                let key = self.expression()?;
                self.want("]")?;
                self.want("=")?;
                let value = self.expression()?;
                match key {
                    Expr::Text(text) => Entry::Named(Name { text, line }, value),
                    key => Entry::Keyed(key, value),
                }
            } else if self.at_name(0) && self.is_at(1, "=") {
                let name = self.name()?;
                self.at += 1;
                Entry::Named(name, self.expression()?)
            } else {
                Entry::Item(self.expression()?)
            });
            if !self.eat(",") && !self.eat(";") && !self.is("}") {
                return Err(self.line());
            }
        }
        Ok(Expr::Table(entries))
    }
}

/// A long join is one operation of many, not one within the other.
fn join(left: Expr, right: Expr) -> Expr {
    match left {
        Expr::Operation(mut parts, true) => {
            parts.push(right);
            Expr::Operation(parts, true)
        }
        left => Expr::Operation(vec![left, right], true),
    }
}

fn index(of: Expr, key: Expr, line: usize) -> Expr {
    match key {
        Expr::Text(text) => Expr::Field(Box::new(of), Name { text, line }),
        key => Expr::Index(Box::new(of), Box::new(key)),
    }
}
