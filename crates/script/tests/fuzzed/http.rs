//! A conversation of HTTP, cut by its first bytes: every cut tells the same and lets the same through, a rule that looks
//! changes nothing, and one that changes does the same to every cut.
use std::cell::RefCell;

use tollgate_wire::Direction::{self, ToClient, ToServer};

use crate::common::Scene;
use crate::common::pair::Pair;

const LOOK: &str = "
    http.install_tcp_rule(80)
    haka.rule{ hook = http.events.request, eval = function(http, req)
        print(req.method, req.uri, req.version)
        for name, value in pairs(req.headers) do print(name, value) end
        local split, cookies = req.split_uri, req.split_cookies
        print(split.host, split.path, split.query)
    end }
    haka.rule{ hook = http.events.response, eval = function(http, resp)
        print(resp.status, resp.reason, http.request and http.request.uri)
    end }
    haka.rule{ hook = http.events.receive_data, options = { streamed = true }, eval = function(http, it, dir)
        local all = it:sub('all')
        print(dir, all and all:asstring())
    end }";

const CHANGE: &str = "
    http.install_tcp_rule(80)
    haka.rule{ hook = http.events.request, eval = function(http, req)
        req.headers.Host = 'another.example' req.headers['X'] = nil
        req:enable_data_modification()
    end }
    haka.rule{ hook = http.events.response, eval = function(http, resp)
        resp.headers.Server = 'x' resp:enable_data_modification()
    end }
    haka.rule{ hook = http.events.receive_data, options = { streamed = true }, eval = function(http, it)
        it:mark()
        local all = it:sub('all')
        if all then all:replace(haka.vbuffer_from('<' .. all:asstring() .. '>')) end
        it:unmark()
    end }";

thread_local! {
    static SCENES: RefCell<Option<[Scene; 2]>> =
        RefCell::new(Some([Scene::new(LOOK), Scene::new(CHANGE)]));
}

/// The first byte cuts. The others are the client's up to the first `0xff`, the server's up to the next, and so on.
pub(crate) fn run(bytes: &[u8]) {
    let [len, bytes @ ..] = bytes else { return };
    let step = usize::from(*len % 64) + 1;
    SCENES.with_borrow_mut(|scenes| {
        let [look, change] = scenes.take().unwrap();
        let (look, whole) = converse(look, bytes, usize::MAX);
        let (look, cut) = converse(look, bytes, step);
        assert_eq!(cut.is_over, whole.is_over);
        if whole.is_over {
            // Where the framing is wrong, a body's end may have been told before, and what is wrong first depends
            // on what is there.
            assert_eq!(cut.heads(), whole.heads());
            assert!(
                [&cut, &whole]
                    .iter()
                    .all(|told| told.said.iter().any(|line| line.starts_with("alert ")))
            );
            // Nothing leaves that was not there.
            for (out, sent) in cut.out.iter().zip(&whole.sent) {
                assert!(sent.starts_with(out), "{out:?} of {sent:?}");
            }
        } else {
            assert_eq!(cut.said, whole.said);
            assert_eq!(whole.out, whole.sent);
            assert_eq!(cut.out, cut.sent);
        }
        let (change, whole) = converse(change, bytes, usize::MAX);
        let (change, cut) = converse(change, bytes, step);
        assert_eq!(cut.is_over, whole.is_over, "{:?} {:?}", cut.said, whole.said);
        *scenes = Some([look, change]);
    });
}

struct Told {
    said: Vec<String>,
    out: [String; 2],
    sent: [String; 2],
    is_over: bool,
}

impl Told {
    /// What was said of heads.
    fn heads(&self) -> Vec<&String> {
        let others = ["up\t", "down\t", "alert "];
        self.said
            .iter()
            .filter(|said| !others.iter().any(|other| said.starts_with(other)))
            .collect()
    }
}

fn converse(mut scene: Scene, bytes: &[u8], step: usize) -> (Scene, Told) {
    scene.next();
    scene.open();
    scene.said();
    let mut pair = Pair::of(scene);
    let mut sent = [Vec::new(), Vec::new()];
    let turn = |at: usize| if at.is_multiple_of(2) { ToServer } else { ToClient };
    for (at, part) in bytes.split(|byte| *byte == 0xff).enumerate() {
        sent[at % 2].extend(part);
        for piece in part.chunks(step) {
            pair.push(turn(at), piece, false);
        }
    }
    for direction in [ToServer, ToClient] {
        pair.end(direction);
    }
    pair.scene.end();
    let said = pair.said();
    assert!(!said.iter().any(|line| line.starts_with("error ")), "{said:?}");
    let out = |direction: Direction| pair.out(direction);
    let told = Told {
        said,
        out: [out(ToServer), out(ToClient)],
        sent: sent.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        is_over: pair.over.is_some(),
    };
    (pair.scene, told)
}
