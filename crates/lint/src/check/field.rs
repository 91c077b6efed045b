use super::{Checker, Use};
use crate::suggestion;
use crate::syntax::Name;
use crate::types::Type;

impl Checker<'_> {
    /// The type of a field, and a complaint if nothing that this may be has it.
    pub(super) fn field(&mut self, of: &Type, name: &Name, used: Use) -> Type {
        let mut found = None;
        let mut without = Vec::new();
        for kind in of.clone().alternatives() {
            let Type::Class(class, given) = kind else { return Type::Any };
            match self.library.field(&class, &given, &name.text) {
                Some(kind) => {
                    found = Some(match found {
                        Some(all) => Type::or(all, kind),
                        None => kind,
                    });
                }
                None if !self.library.classes.contains_key(&class) => return Type::Any,
                None => without.push(class),
            }
        }
        if let Some(kind) = found {
            self.must_be_raised(of, name);
            return kind;
        }
        let is_given = self.names.fields.contains(&name.text);
        let is_open = without.iter().any(|class| self.is_open(class));
        let is_shared = without.iter().all(|class| self.library.is_shared(class));
        if (is_open || is_shared) && (is_given || used == Use::Write) {
            return Type::Any;
        }
        let near = without.iter().flat_map(|class| self.library.fields(class));
        let near = suggestion(&name.text, near.chain(self.own_fields(is_open)));
        self.complain(&without, is_open && used == Use::Read, name, &near);
        Type::Any
    }

    /// Warns of an event of a dissector that reads no connection.
    fn must_be_raised(&mut self, events: &Type, name: &Name) {
        let Type::Class(class, _) = events else { return };
        let how = match class.as_str() {
            "http.events" => {
                "http.install_tcp_rule(80), or http.dissect(flow) as a connection begins"
            }
            "dns.events" => "dns.install_udp_rule(53), or dns.dissect(flow) as a connection begins",
            _ => return,
        };
        if self.names.is_whole && !self.names.installs {
            self.warning(
                name.line,
                format!("nothing raises {class}.{}: there is no {how}", name.text),
            );
        }
    }

    fn own_fields(&self, may_be: bool) -> impl Iterator<Item = &str> {
        self.names.fields.iter().map(String::as_str).filter(move |_| may_be)
    }

    fn is_open(&self, class: &str) -> bool {
        self.library.classes.get(class).is_none_or(|class| class.is_open)
    }

    fn complain(&mut self, classes: &[String], may_be_meant: bool, name: &Name, near: &str) {
        let field = &name.text;
        let [class] = classes else {
            let all = classes.join(" nor ");
            return self.fault(name.line, format!("neither {all} has '{field}'{near}"));
        };
        if may_be_meant {
            // It may come from elsewhere.
            if self.names.is_whole {
                self.warning(
                    name.line,
                    format!("nothing sets '{field}' of {class}: it is nil{near}"),
                );
            }
        } else if class.ends_with(".events") {
            self.fault(name.line, format!("unknown event {class}.{field}{near}"));
        } else {
            self.fault(name.line, format!("{class} has no '{field}'{near}"));
        }
    }
}
