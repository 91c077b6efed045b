//! What scripts may name: read from the annotations that editors read, too.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::types::{self, Mark, Signature, Type};

/// One file of annotations, by its place in the library.
pub type File = (&'static str, &'static str);

/// The annotations, for LuaLS and other editors: names of files, and what is in them.
pub const FILES: [File; 16] = [
    ("haka.lua", include_str!("../../../editors/luals/library/haka.lua")),
    ("vbuffer.lua", include_str!("../../../editors/luals/library/vbuffer.lua")),
    ("grammar.lua", include_str!("../../../editors/luals/library/grammar.lua")),
    ("class.lua", include_str!("../../../editors/luals/library/class.lua")),
    ("protocol/raw.lua", include_str!("../../../editors/luals/library/protocol/raw.lua")),
    ("protocol/ipv4.lua", include_str!("../../../editors/luals/library/protocol/ipv4.lua")),
    ("protocol/ipv6.lua", include_str!("../../../editors/luals/library/protocol/ipv6.lua")),
    ("protocol/tcp.lua", include_str!("../../../editors/luals/library/protocol/tcp.lua")),
    ("protocol/udp.lua", include_str!("../../../editors/luals/library/protocol/udp.lua")),
    ("protocol/icmp.lua", include_str!("../../../editors/luals/library/protocol/icmp.lua")),
    (
        "protocol/tcp_connection.lua",
        include_str!("../../../editors/luals/library/protocol/tcp_connection.lua"),
    ),
    (
        "protocol/udp_connection.lua",
        include_str!("../../../editors/luals/library/protocol/udp_connection.lua"),
    ),
    ("protocol/dns.lua", include_str!("../../../editors/luals/library/protocol/dns.lua")),
    ("protocol/http.lua", include_str!("../../../editors/luals/library/protocol/http.lua")),
    ("protocol/tls.lua", include_str!("../../../editors/luals/library/protocol/tls.lua")),
    ("regexp/pcre.lua", include_str!("../../../editors/luals/library/regexp/pcre.lua")),
];
const STANDARD: File = ("standard.lua", include_str!("standard.lua"));

/// Every name there is.
#[derive(Debug, Default)]
pub struct Library {
    pub(crate) classes: BTreeMap<String, Class>,
    pub(crate) globals: BTreeMap<String, Type>,
    /// What `require` gives, by the name it takes.
    pub(crate) modules: BTreeMap<String, Type>,
    aliases: BTreeMap<String, Alias>,
    /// What is wrong with the annotations themselves.
    problems: Vec<String>,
}

#[derive(Debug)]
struct Alias {
    generics: Vec<String>,
    of: Type,
}

#[derive(Debug, Default)]
pub(crate) struct Class {
    parents: Vec<String>,
    pub(crate) generics: Vec<String>,
    fields: BTreeMap<String, Type>,
    /// Whether scripts may keep fields of their own in it: `[string] any`.
    pub(crate) is_open: bool,
    /// What any other name gives: `[string]` and a type that says more than that.
    pub(crate) others: Option<Type>,
    /// Whether a table that is given for it may have no other keys.
    pub(crate) is_exact: bool,
    pub(crate) call: Option<Rc<Signature>>,
}

impl Library {
    /// The library that comes with the program.
    #[must_use]
    pub fn new() -> Self {
        let mut library = Self::default();
        for (name, text) in FILES.iter().chain([&STANDARD]) {
            Reader::new(&mut library, name).read(text);
        }
        library
    }

    /// What is wrong with the annotations: lines that cannot be read, names of types that do not exist.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.problems.clone();
        for (name, class) in &self.classes {
            let of = |what: &str| format!("{name}.{what}");
            for (field, kind) in &class.fields {
                self.must_know(&of(field), kind, &class.generics, &mut problems);
            }
            for parent in &class.parents {
                if !self.classes.contains_key(parent) {
                    problems.push(format!("{name}: no class {parent}"));
                }
            }
        }
        problems
    }

    /// Names of all fields and methods of a class, those of its ancestors included.
    #[must_use]
    pub fn fields(&self, class: &str) -> Vec<&str> {
        let Some(found) = self.classes.get(class) else { return Vec::new() };
        let mut names: Vec<_> = found.fields.keys().map(String::as_str).collect();
        for parent in &found.parents {
            names.extend(self.fields(parent));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Names of all classes.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().map(String::as_str)
    }

    /// Names that every script sees, and the class of each that has one.
    pub fn globals(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.globals.iter().map(|(name, kind)| match kind {
            Type::Class(class, _) => (name.as_str(), Some(class.as_str())),
            _ => (name.as_str(), None),
        })
    }

    /// The type of a field of a class, with the class's parameters in their places.
    pub(crate) fn field(&self, class: &str, given: &[Type], field: &str) -> Option<Type> {
        let found = self.classes.get(class)?;
        if let Some(kind) = found.fields.get(field) {
            return Some(kind.with(&found.generics, given));
        }
        let inherited = found.parents.iter().find_map(|parent| self.field(parent, &[], field));
        inherited.or_else(|| found.others.clone())
    }

    /// Whether it is a module, or another table that every script sees and may add to.
    pub(crate) fn is_shared(&self, class: &str) -> bool {
        let is = |kind: &Type| matches!(kind, Type::Class(name, _) if name == class);
        self.globals.values().chain(self.modules.values()).any(is)
    }

    /// With names of types in the place of what they stand for.
    fn resolve(&self, kind: &Type) -> Type {
        let all = |list: &[Type]| list.iter().map(|each| self.resolve(each)).collect();
        match kind {
            Type::Class(name, given) => match self.aliases.get(name) {
                Some(Alias { generics, of }) => {
                    let given: Vec<_> = all(given);
                    self.resolve(&of.with(generics, &given))
                }
                _ => Type::Class(name.clone(), all(given)),
            },
            Type::List(of) => Type::List(Box::new(self.resolve(of))),
            Type::Union(list) => {
                list.iter().map(|each| self.resolve(each)).reduce(Type::or).unwrap_or(Type::Any)
            }
            Type::Function(signature) => Type::Function(Rc::new(Signature {
                parameters: all(&signature.parameters),
                returns: all(&signature.returns),
                generics: signature.generics.clone(),
                environment: signature.environment.clone(),
                declared: signature.declared,
            })),
            Type::Any | Type::Plain => kind.clone(),
        }
    }

    fn must_know(&self, what: &str, kind: &Type, generics: &[String], problems: &mut Vec<String>) {
        match kind {
            Type::Class(name, given) => {
                if !self.classes.contains_key(name) && !generics.contains(name) {
                    problems.push(format!("{what}: no type {name}"));
                }
                given.iter().for_each(|each| self.must_know(what, each, generics, problems));
            }
            Type::List(of) => self.must_know(what, of, generics, problems),
            Type::Union(list) => {
                list.iter().for_each(|each| self.must_know(what, each, generics, problems));
            }
            Type::Function(signature) => {
                let names = [generics, &signature.generics].concat();
                for each in signature.parameters.iter().chain(&signature.returns) {
                    self.must_know(what, each, &names, problems);
                }
            }
            Type::Any | Type::Plain => {}
        }
    }
}

/// Reads one file, line by line.
struct Reader<'a> {
    library: &'a mut Library,
    file: &'a str,
    /// The class that the lines before have begun.
    class: Option<String>,
    signature: Signature,
    parameters: BTreeMap<String, Type>,
    /// The type that the line before gives to a variable.
    kind: Option<Type>,
    /// The classes of the file's variables.
    variables: BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    fn new(library: &'a mut Library, file: &'a str) -> Self {
        Self {
            library,
            file,
            class: None,
            signature: Signature::default(),
            parameters: BTreeMap::new(),
            kind: None,
            variables: BTreeMap::new(),
        }
    }

    fn read(&mut self, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let read = match line.strip_prefix("---@") {
                Some(tag) => self.tag(tag),
                None if line.starts_with("--") => Some(()),
                None => self.code(line),
            };
            if read.is_none() {
                self.library.problems.push(format!("{}:{}: {line}", self.file, index + 1));
            }
        }
    }

    fn tag(&mut self, tag: &str) -> Option<()> {
        let (word, rest) = tag.split_once(' ').unwrap_or((tag, ""));
        match word {
            "meta" => {}
            "class" => self.begin(rest),
            "alias" => {
                let (name, of) = rest.split_once(' ')?;
                let ((name, generics), of) = (generic(name), self.parse(of)?);
                self.library.aliases.insert(name, Alias { generics, of });
            }
            "field" => return self.field(rest),
            "overload" => {
                let Type::Function(signature) = self.parse(rest)? else { return None };
                self.library.classes.get_mut(self.class.as_ref()?)?.call = Some(signature);
            }
            "generic" => self.signature.generics = vec![rest.to_owned()],
            "environment" => self.signature.environment = Some(rest.to_owned()),
            "param" => {
                let (name, kind) = rest.split_once(' ')?;
                let kind = self.parse(kind)?;
                self.parameters.insert(name.trim_end_matches('?').to_owned(), kind);
            }
            "return" => {
                let list = types::parse_list(rest)?;
                self.signature.returns =
                    list.iter().map(|each| self.library.resolve(each)).collect();
            }
            "type" => self.kind = Some(self.parse(rest)?),
            _ => return None,
        }
        Some(())
    }

    fn parse(&self, text: &str) -> Option<Type> {
        types::parse(text).map(|kind| self.library.resolve(&kind))
    }

    fn begin(&mut self, rest: &str) {
        let exact = rest.strip_prefix("(exact) ");
        let rest = exact.unwrap_or(rest);
        let (name, parents) = rest.split_once(':').unwrap_or((rest, ""));
        let (name, generics) = generic(name);
        let parents = parents.split(',').map(|parent| parent.trim().to_owned());
        let class = Class {
            parents: parents.filter(|parent| !parent.is_empty()).collect(),
            generics,
            is_exact: exact.is_some(),
            ..Class::default()
        };
        self.library.classes.insert(name.clone(), class);
        self.class = Some(name);
    }

    fn field(&mut self, rest: &str) -> Option<()> {
        let (name, text) = rest.split_once(' ')?;
        let kind = self.parse(text)?;
        let class = self.library.classes.get_mut(self.class.as_ref()?)?;
        match name {
            "[string]" if text == "any" => class.is_open = true,
            "[string]" => class.others = Some(kind),
            "[integer]" => {}
            name => drop(class.fields.insert(name.trim_end_matches('?').to_owned(), kind)),
        }
        Some(())
    }

    fn code(&mut self, line: &str) -> Option<()> {
        let class = self.class.take();
        let kind = self.kind.take();
        if let Some(declared) = line.strip_prefix("function ") {
            return self.function(declared);
        }
        if let Some(variable) = line.strip_prefix("return ") {
            let class = Type::Class(self.variables.get(variable)?.clone(), Vec::new());
            let name = self.file.strip_suffix(".lua")?.to_owned();
            self.library.modules.insert(name, class);
        } else if let Some((variable, _)) = line.split_once(" = ") {
            let kind = match class {
                Some(class) => {
                    self.variables.insert(
                        variable.strip_prefix("local ").unwrap_or(variable).to_owned(),
                        class.clone(),
                    );
                    Type::Class(class, Vec::new())
                }
                None => kind?,
            };
            if !variable.starts_with("local ") {
                self.name(variable, kind)?;
            }
        } else if !line.is_empty() {
            return None;
        }
        Some(())
    }

    /// `function A.b(c) end`, `function A:b(c) end` or `function b(c) end`.
    fn function(&mut self, declared: &str) -> Option<()> {
        let (name, rest) = declared.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        let mut signature = std::mem::take(&mut self.signature);
        let kinds = std::mem::take(&mut self.parameters);
        let names =
            parameters.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "...");
        signature.parameters =
            names.map(|name| kinds.get(name).cloned().unwrap_or(Type::Any)).collect();
        signature.declared = match name.rfind([':', '.']).map(|at| name.as_bytes().get(at)) {
            Some(Some(b':')) => Some(Mark::Colon),
            Some(_) => Some(Mark::Dot),
            None => None,
        };
        self.name(&name.replace(':', "."), Type::Function(Rc::new(signature)))
    }

    /// Gives a type to a variable, or to a field of one.
    fn name(&mut self, variable: &str, kind: Type) -> Option<()> {
        match variable.rsplit_once('.') {
            Some((of, field)) => {
                let class = self.library.classes.get_mut(self.variables.get(of)?)?;
                class.fields.insert(field.to_owned(), kind);
            }
            None => drop(self.library.globals.insert(variable.to_owned(), kind)),
        }
        Some(())
    }
}

/// `Name<A>` is a name and its parameters.
fn generic(text: &str) -> (String, Vec<String>) {
    let text = text.trim();
    let (name, rest) = text.split_once('<').unwrap_or((text, ""));
    let parameters = rest.trim_end_matches('>').split(',').map(|name| name.trim().to_owned());
    (name.to_owned(), parameters.filter(|name| !name.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_can_be_read_and_knows_every_type_that_it_names() {
        assert_eq!(Library::new().problems(), [""; 0]);
    }

    #[test]
    fn fields_are_found_with_those_of_ancestors() {
        let library = Library::new();
        assert!(library.fields("tcp.Packet").contains(&"drop"));
        assert!(library.field("udp_connection.Data", &[], "asstring").is_some());
        assert_eq!(library.modules.len(), 13);
        assert_eq!(library.globals["tcp"], Type::Class("tcp".to_owned(), Vec::new()));
    }
}
