//! Web traffic through rules that rewrite a header each way and a word of every page: keep-alive and
//! pipelined, pages of known and of unknown length, IPv4 and IPv6; every page is compared.
//!
//! Some thousand requests; tens of thousands with `TOLLGATE_SOAK` set (`make web`). `browsers` has the same
//! with wrk and Chromium.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::lab::{Lab, Options, SERVER_V4, SERVER_V6, Side, join};
use crate::program::Program;

pub(crate) const RULES: &str = "
local http = require('protocol/http')
http.install_tcp_rule(80)

haka.rule{ hook = http.events.request, eval = function (http, req)
    req.headers['User-Agent'] = 'somebody who shall not be known'
end }
haka.rule{ hook = http.events.response, eval = function (http, resp)
    resp.headers['Server'] = nil
    resp.headers['X-Seen'] = http.request.uri
    resp:enable_data_modification()
end }
haka.rule{ hook = http.events.response_data, options = { streamed = true }, eval = function (http, it)
    while true do
        local line = it:sub(16)
        if not line then return end
        if line:asstring():find('mountain', 1, true) then
            line:sub(4, 8):replace(haka.vbuffer_from('sea'))
        end
    end
end }
";

pub(crate) const LINE: &str = "... a plain line";
const WORD: &str = "the mountain lie";
pub(crate) const CHANGED: &str = "the sea lie";
/// Nothing takes longer unless it stalls.
const STALL: Duration = Duration::from_secs(20);
const CLIENTS: u32 = 4;

/// Pages from this number on are small.
pub(crate) const SMALL: u32 = 100_000;

/// Page `number`: up to 20 kB (800 bytes from [`SMALL`] on) and never empty, of lines that networks cut
/// anywhere.
fn page(number: u32, word: &str) -> String {
    let most = if number < SMALL { 1250 } else { 50 };
    let lines = number % most * 7919 % most + 1;
    (0..lines).map(|line| if (line + number).is_multiple_of(37) { word } else { LINE }).collect()
}

/// Serves pages until the connection ends: every third one in chunks.
fn serve(stream: TcpStream, html: &str) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut input = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let before = head.len();
            input.read_until(b'\n', &mut head).ok().filter(|len| *len > 0)?;
            if &head[before..] == b"\r\n" {
                break;
            }
        }
        let head = String::from_utf8(head).expect("a plain head");
        let path = head.split(['/', ' ']).nth(2)?;
        let is_rewritten = head.contains("\r\nUser-Agent: somebody who shall not be known\r\n");
        let status = if is_rewritten { "200 OK" } else { "500 The rule was passed over" };
        let (number, kind, body) = match path.parse() {
            Ok(number) => (number, "plain", page(number, WORD)),
            // What a browser shows first, and what else it asks for.
            Err(_) => (0, "html", html.to_owned()),
        };
        let mut text =
            format!("HTTP/1.1 {status}\r\nServer: secret\r\nContent-Type: text/{kind}\r\n");
        if number.is_multiple_of(3) {
            text.push_str("Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.as_bytes().chunks(1000) {
                let chunk = std::str::from_utf8(chunk).expect("plain text");
                write!(text, "{:x}\r\n{chunk}\r\n", chunk.len()).expect("into a string");
            }
            text.push_str("0\r\n\r\n");
        } else {
            write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("into a string");
        }
        out.write_all(text.as_bytes()).ok()?;
        if head.contains("Connection: close") {
            return None;
        }
    }
}

/// A server of pages, and of `html` for whatever is no page, for as many connections as will come.
pub(crate) fn server(lab: &Lab, address: IpAddr, html: &'static str) {
    let listener = lab.within(Side::Server, move || {
        TcpListener::bind(SocketAddr::new(address, 80)).expect("the port is free")
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || serve(stream, html));
        }
    });
}

/// Reads one response: its head and its body without chunks.
fn read_response(input: &mut impl BufRead) -> (String, String) {
    let mut line = String::new();
    let mut read_line = |input: &mut dyn BufRead| {
        line.clear();
        assert!(input.read_line(&mut line).expect("no stall") > 0, "the connection has ended");
        line.clone()
    };
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push_str(&read_line(input));
    }
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
    let mut body = Vec::new();
    loop {
        let size = read_line(input);
        let size = usize::from_str_radix(size.trim_end(), 16).expect("the size of a chunk");
        let before = body.len();
        body.resize(before + size, 0);
        input.read_exact(&mut body[before..]).expect("no stall");
        assert_eq!(read_line(input), "\r\n");
        if size == 0 {
            return (head, String::from_utf8(body).expect("plain text"));
        }
    }
}

/// Asks for pages `from..from + count` over one connection, up to eight at once.
fn browse(address: IpAddr, from: u32, count: u32) {
    let stream = TcpStream::connect(SocketAddr::new(address, 80)).expect("let in");
    stream.set_read_timeout(Some(STALL)).expect("a socket has a timeout");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut out = stream.try_clone().expect("another handle");
    let mut input = BufReader::new(stream);
    let (mut number, end) = (from, from + count);
    while number < end {
        let many = (number % 8 + 1).min(end - number);
        let requests: String = (number..number + many)
            .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: web\r\nUser-Agent: me\r\n\r\n"))
            .collect();
        out.write_all(requests.as_bytes()).expect("no stall");
        for number in number..number + many {
            let (head, body) = read_response(&mut input);
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nX-Seen: /{number}\r\n")), "{head}");
            assert!(!head.contains("secret"), "{head}");
            assert_eq!(body, page(number, CHANGED), "page {number} over {address}");
        }
        number += many;
    }
}

#[test]
fn pages_arrive_as_the_rules_have_changed_them() {
    let Some(lab) = Lab::up(Options { queues: 2, ..Options::default() }) else { return };
    let program = Program::start(&lab, RULES, 2);
    let is_soak = std::env::var_os("TOLLGATE_SOAK").is_some();
    let count: u32 = if is_soak { 20_000 } else { 2000 };
    let began = Instant::now();
    for address in [SERVER_V4, SERVER_V6] {
        server(&lab, address, "");
        let each = count / 2 / CLIENTS;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                lab.spawn(Side::Client, move || {
                    // Ten connections each, one after the other.
                    for part in 0..10 {
                        browse(address, client * each + part * each / 10, each / 10);
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(join);
    }
    println!("{count} requests in {:.1?}", began.elapsed());
    let metrics = program.metrics(&lab);
    assert_eq!(metrics.sum("tollgate_unbalanced_turns_total", &[]), 0.0);
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("alert") && !ended.stdout.contains("error"), "{ended:?}");
}

#[test]
fn curl_reads_the_pages_that_the_rules_have_made() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: no curl");
        return;
    }
    let program = Program::start(&lab, RULES, 1);
    for (address, host) in
        [(SERVER_V4, SERVER_V4.to_string()), (SERVER_V6, format!("[{SERVER_V6}]"))]
    {
        server(&lab, address, "");
        let urls: Vec<String> =
            (100..140).map(|number| format!("http://{host}/{number}")).collect();
        let mut command = vec!["curl", "-g", "-sS", "--fail", "--max-time", "30"];
        command.extend(urls.iter().map(String::as_str));
        let said = lab.run(Side::Client, &command);
        let wanted: String = (100..140).map(|number| page(number, CHANGED)).collect();
        assert_eq!(said.trim_end(), wanted.trim_end(), "over {host}");
    }
    assert_eq!(program.stop().code, Some(0));
}
