use std::borrow::Cow;
use std::rc::Rc;

use mlua::{Lua, Table, Value};
use tollgate_policy::{Alert, Completion, Confidence, Level, Method, Severity};

use crate::event::Shared;
use crate::limits;

/// Longer texts are cut: one rule must not fill the terminal, or the memory behind it.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// An alert lists no more sources, targets or references than this.
const LINES_MAX: usize = 64;

/// Bytes of a text that are handled in the time of an instruction.
const BYTES_PER_INSTRUCTION: u64 = 16;

/// Adds `log` and `alert`.
pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let of = Rc::clone(shared);
    native.set(
        "log",
        lua.create_function(
            move |lua, (level, section, message): (String, String, mlua::LuaString)| {
                // Whoever calls has made the text, which may be long though little of it is kept.
                if of.budget.charge(message.as_bytes().len() as u64 / BYTES_PER_INSTRUCTION) {
                    return Err(limits::overrun(lua, &of));
                }
                let level = match level.as_str() {
                    "debug" => Level::Debug,
                    "warning" => Level::Warning,
                    "error" => Level::Error,
                    "fatal" => Level::Fatal,
                    _ => Level::Info,
                };
                let now = of.event.borrow().now;
                let message = message.as_bytes();
                let line = cut_bytes(&message);
                of.reports.borrow_mut().log_bytes(now, level, &section, &line);
                Ok(())
            },
        )?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "alert",
        lua.create_function(move |lua, (spec, update): (Table, Option<u64>)| {
            let text = spec.get::<Option<mlua::LuaString>>("description")?;
            let bytes = text.map_or(0, |text| text.as_bytes().len() as u64);
            if of.budget.charge(bytes / BYTES_PER_INSTRUCTION) {
                return Err(limits::overrun(lua, &of));
            }
            let mut alert = match parse(&spec) {
                Ok(alert) => alert,
                Err(problem) => return Ok((None, Some(problem))),
            };
            alert.time = of.event.borrow().now;
            alert.is_update = update.is_some();
            alert.number = update.unwrap_or_default();
            Ok((Some(of.reports.borrow_mut().alert(alert)), None))
        })?,
    )
}

/// The table that the prelude has made of the rule's: keys are known, texts are texts.
fn parse(spec: &Table) -> Result<Alert, String> {
    let bad = |error: mlua::Error| error.to_string();
    let method: Option<Table> = spec.get("method").map_err(bad)?;
    Ok(Alert {
        start_time: number(spec, "start_time")?,
        end_time: number(spec, "end_time")?,
        description: text(spec, "description")?,
        severity: word(
            spec,
            "severity",
            &[("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High)],
        )?,
        confidence: confidence(spec)?,
        completion: word(
            spec,
            "completion",
            &[("failed", Completion::Failed), ("successful", Completion::Successful)],
        )?,
        method: match method {
            Some(method) => Some(Method {
                description: text(&method, "description")?,
                refs: lines(&method, "ref")?,
            }),
            None => None,
        },
        sources: lines(spec, "sources")?,
        targets: lines(spec, "targets")?,
        refs: lines(spec, "ref")?,
        ..Alert::default()
    })
}

fn confidence(spec: &Table) -> Result<Option<Confidence>, String> {
    let value: Value = spec.get("confidence").map_err(|error| error.to_string())?;
    match value {
        Value::Integer(_) | Value::Number(_) => {
            Ok(number(spec, "confidence")?.map(Confidence::Number))
        }
        _ => word(
            spec,
            "confidence",
            &[("low", Confidence::Low), ("medium", Confidence::Medium), ("high", Confidence::High)],
        ),
    }
}

fn word<T: Copy>(spec: &Table, key: &str, words: &[(&str, T)]) -> Result<Option<T>, String> {
    let Some(given) = text(spec, key)? else { return Ok(None) };
    match words.iter().find(|(word, _)| *word == given) {
        Some((_, value)) => Ok(Some(*value)),
        None => {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Err(format!("{key} must be one of {}, got '{given}'", known.join(", ")))
        }
    }
}

fn text(spec: &Table, key: &str) -> Result<Option<String>, String> {
    match spec.get::<Value>(key) {
        Ok(Value::Nil) => Ok(None),
        Ok(Value::String(text)) => Ok(Some(cut(&text))),
        Ok(other) => Err(format!("{key} must be a string, got {}", other.type_name())),
        Err(error) => Err(error.to_string()),
    }
}

fn number(spec: &Table, key: &str) -> Result<Option<f64>, String> {
    spec.get(key).map_err(|_| format!("{key} must be a number"))
}

fn lines(spec: &Table, key: &str) -> Result<Vec<String>, String> {
    let list: Option<Vec<mlua::LuaString>> = spec.get(key).map_err(|error| error.to_string())?;
    Ok(list.unwrap_or_default().iter().take(LINES_MAX).map(cut).collect())
}

fn cut(text: &mlua::LuaString) -> String {
    let bytes = text.as_bytes();
    String::from_utf8_lossy(&cut_bytes(&bytes)).into_owned()
}

/// Not in the middle of a character.
fn cut_bytes(text: &[u8]) -> Cow<'_, [u8]> {
    if text.len() <= TEXT_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let begins = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let end = (TEXT_BYTES_MAX - 3..=TEXT_BYTES_MAX).rfind(begins).unwrap_or(TEXT_BYTES_MAX);
    Cow::Owned([text.get(..end).unwrap_or_default(), "…".as_bytes()].concat())
}
