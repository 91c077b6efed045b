//! Wherever the network cuts the bytes: the same events, and the same messages for the receiver.
use tollgate_script::Settings;
use tollgate_wire::Direction::{self, ToClient, ToServer};

use crate::common::Scene;
use crate::common::pair::Pair;
use crate::oracle;

const REQUESTS: &str = "POST /1 HTTP/1.1\r\nHost:a\r\nContent-Length: 12\r\n\r\nhello world!\
    PUT /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX:\r\n\r\n3;e=v\r\na w\r\n00a\r\norldworld \r\n0\r\nT: t\r\n\r\n\
    \r\nGET /3 HTTP/1.1\r\nhost: c\r\nHost-Name: d\r\n\r\nHEAD /4 HTTP/1.1\r\n\r\n";

const RESPONSES: &str = "HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld\
    HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n7\r\n worldw\r\n4\r\norld\r\n0\r\n\r\n\
    HTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";

/// Prints every head and every whole body.
const LOOK: &str = "
    local http = require('protocol/http')
    http.install_tcp_rule(80)
    haka.rule{ hook = http.events.request, eval = function(http, req)
        print(req.method, req.uri, req.headers.host)
        for name, value in pairs(req.headers) do print(name, value) end
    end }
    haka.rule{ hook = http.events.response, eval = function(http, resp)
        print(resp.status, resp.reason, http.request.uri)
    end }
    haka.rule{ hook = http.events.receive_data, options = { streamed = true }, eval = function(http, it, dir)
        local text = {}
        for part in it:foreach_available() do text[#text + 1] = part:asstring() end
        print(dir, table.concat(text))
    end }";

/// Changes heads, and a word of every body to one of another length.
const CHANGE: &str = "
    haka.rule{ hook = http.events.request, eval = function(http, req)
        req.headers.Host = 'another.example' req.headers['Host-Name'] = nil req:enable_data_modification()
    end }
    haka.rule{ hook = http.events.response, eval = function(http, resp)
        resp.headers.Server = 'x' resp.reason = 'Because' resp:enable_data_modification()
    end }
    haka.rule{ hook = http.events.receive_data, options = { streamed = true }, eval = function(http, it)
        while true do
            it:mark()
            local letter = it:sub(1)
            if not letter then return end
            if letter:asstring() == 'w' then
                local rest = it:copy():sub(4)
                if rest and rest:asstring() == 'orld' then
                    letter:replace(haka.vbuffer_from('W'))
                    it:sub(4):replace(haka.vbuffer_from('IRE-GATE'))
                end
            end
            it:unmark()
        end
    end }";

/// The pieces of `text` of at most `step` bytes, the first of `first`.
fn pieces(text: &str, first: usize, step: usize) -> impl Iterator<Item = &[u8]> {
    let (head, tail) = text.as_bytes().split_at(first);
    std::iter::once(head).chain(tail.chunks(step))
}

/// What a script says to the conversation, and what leaves in each direction.
fn run(scene: Scene, first: usize, step: usize) -> (Scene, Vec<String>, [String; 2]) {
    let mut pair = Pair::of(scene);
    pair.scene.next();
    pair.scene.open();
    pair.said();
    for (direction, text) in [(ToServer, REQUESTS), (ToClient, RESPONSES)] {
        for piece in pieces(text, first.min(text.len()), step) {
            pair.push(direction, piece, false);
        }
        pair.end(direction);
    }
    pair.scene.end();
    let (over, said) = (pair.over, pair.said());
    assert_eq!(over, None, "{said:?} {first} {step}");
    let out = [pair.out(ToServer), pair.out(ToClient)];
    (pair.scene, said, out)
}

fn cuts() -> impl Iterator<Item = (usize, usize)> {
    let one = (0..REQUESTS.len()).map(|first| (first, 1000));
    one.chain([(0, 1), (0, 2), (0, 3), (1, 5), (0, 7), (2, 11), (0, 64)])
}

#[test]
fn looking_is_the_same_for_every_cut() {
    for pass_through in [false, true] {
        let settings = Settings { pass_through, ..Settings::default() };
        let (mut scene, wanted, _) = run(Scene::with(LOOK, settings), 0, 1000);
        assert_eq!(wanted.len(), 19, "{wanted:?}");
        for (first, step) in cuts() {
            let (said, out);
            (scene, said, out) = run(scene, first, step);
            assert_eq!(said, wanted, "{first} {step}");
            assert_eq!(out, [REQUESTS, RESPONSES], "{first} {step}");
        }
    }
}

/// The messages in what has left; those that answer HEAD have no body, whatever they say.
fn messages(text: &str, direction: Direction) -> Vec<oracle::Message> {
    let text = text.replace("\r\n\r\n\r\nGET", "\r\n\r\nGET");
    match direction {
        ToServer => oracle::read(&text),
        ToClient => oracle::read(text.replace("Content-Length: 99\r\n", "").as_str()),
    }
}

#[test]
fn changing_is_the_same_for_every_cut() {
    let bodies = |messages: &[oracle::Message]| -> Vec<String> {
        messages.iter().map(|message| message.body.replace("WIRE-GATE", "world")).collect()
    };
    let script = format!("http.install_tcp_rule(80) {CHANGE}");
    let (mut scene, _, wanted) = run(Scene::new(&script), 0, 1000);
    let wanted = [messages(&wanted[0], ToServer), messages(&wanted[1], ToClient)];
    assert_eq!(wanted[0][1].body, "a WIRE-GATEWIRE-GATE ");
    assert_eq!(bodies(&wanted[0]), ["hello world!", "a worldworld ", "", ""]);
    assert_eq!(bodies(&wanted[1]), ["", "world", "world worldworld", "", ""]);
    assert!(wanted[0][0].head.contains("\r\nHost:another.example\r\n"), "{wanted:?}");
    assert!(wanted[1][2].head.starts_with("HTTP/1.1 404 Because\r\n"), "{wanted:?}");
    for (first, step) in cuts() {
        let out;
        (scene, _, out) = run(scene, first, step);
        assert_eq!(messages(&out[0], ToServer), wanted[0], "{first} {step}");
        assert_eq!(messages(&out[1], ToClient), wanted[1], "{first} {step}");
    }
}
