use std::rc::Rc;

use mlua::{Lua, LuaString, Table, UserData, UserDataRefMut, Value};
use tollgate_inspect::tls::{ClientHello, HelloReader, Progress, ServerHello, Side, version_name};

use super::matching::with_bytes;
use crate::event::Shared;

/// One direction of a connection.
struct Reader(HelloReader);

impl UserData for Reader {}

/// Adds `tls`: `reader` for one side, and `feed`, which gives how many bytes were looked at, whether a hello
/// may have begun, and then "more", "done", "hello" with the hello's table, or "malformed" with why.
pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let tls = lua.create_table()?;
    tls.set(
        "reader",
        lua.create_function(|lua, is_client: bool| {
            let side = if is_client { Side::Client } else { Side::Server };
            lua.create_userdata(Reader(HelloReader::new(side)))
        })?,
    )?;
    let of = Rc::clone(shared);
    tls.set(
        "feed",
        lua.create_function(move |lua, (mut reader, text, from, len): Portion| {
            let (taken, progress) =
                with_bytes(&of, text.as_ref(), from, len, |bytes| reader.0.feed(bytes));
            of.budget.copied(taken as u64);
            let (word, value) = match progress {
                Progress::More => ("more", Value::Nil),
                Progress::Done => ("done", Value::Nil),
                Progress::Client(hello) => ("hello", Value::Table(client(lua, &hello)?)),
                Progress::Server(hello) => ("hello", Value::Table(server(lua, &hello)?)),
                Progress::Malformed(why) => {
                    ("malformed", Value::String(lua.create_string(why.to_string())?))
                }
            };
            Ok((taken, reader.0.is_partial(), word, value))
        })?,
    )?;
    native.set("tls", tls)
}

/// A reader, and the bytes for it: a text or nil for the event's own, from where in it (from 0), how many.
type Portion = (UserDataRefMut<Reader>, Option<LuaString>, usize, usize);

fn client(lua: &Lua, hello: &ClientHello) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    if let Some(name) = &hello.server_name {
        table.set("sni", lua.create_string(name)?)?;
    }
    let alpn = hello.alpn.iter().map(|name| lua.create_string(name));
    table.set("alpn", lua.create_sequence_from(alpn.collect::<mlua::Result<Vec<_>>>()?)?)?;
    table.set("version", version_name(hello.version()))?;
    let versions = hello.versions().into_iter().map(version_name);
    table.set("versions", lua.create_sequence_from(versions)?)?;
    table.set("ciphers", lua.create_sequence_from(hello.ciphers.iter().copied())?)?;
    table.set("extensions", lua.create_sequence_from(hello.extensions.iter().copied())?)?;
    table.set("ech", hello.has_encrypted_hello)?;
    table.set("early_data", hello.has_early_data)?;
    table.set("ja4", hello.ja4())?;
    Ok(table)
}

fn server(lua: &Lua, hello: &ServerHello) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("version", version_name(hello.version))?;
    table.set("cipher", hello.cipher)?;
    table.set("extensions", lua.create_sequence_from(hello.extensions.iter().copied())?)?;
    if let Some(name) = &hello.alpn {
        table.set("alpn", lua.create_string(name)?)?;
    }
    table.set("retry", hello.is_retry)?;
    Ok(table)
}
