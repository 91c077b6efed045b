//! A message of DNS: a rule that looks changes nothing, and what is written anew says the same and a record more.
use std::cell::RefCell;

use tollgate_policy::Verdict;

use crate::common::Scene;
use crate::common::frames::{Stage, assert_intact, udp};

const SHOW: &str = "
    dns.install_udp_rule(53)
    local function line(record)
        local parts = {}
        for name, value in pairs(record) do
            if name ~= 'length' then parts[#parts + 1] = name .. '=' .. tostring(value) end
        end
        table.sort(parts)
        return table.concat(parts, ' ')
    end
    local function show(message)
        print(message.id, message.qr, message.opcode, message.aa, message.tc, message.rd, message.ra, message.z,
            message.rcode)
        for _, section in ipairs{ 'question', 'answer', 'authority', 'additional' } do
            for _, record in ipairs(message[section]) do print(section, line(record)) end
        end
    end
    local function more(message)
        show(message)
        if ANEW then
            local list = message.additional
            list[#list + 1] = { name = 'z', type = 'A', class = 'IN', ttl = 1, ip = ipv4.addr(7) }
        end
    end
    haka.rule{ hook = dns.events.query, eval = function(_, query) more(query) end }
    haka.rule{ hook = dns.events.response, eval = function(_, response) more(response) end }";
const MORE: &str = "additional\tclass=IN ip=0.0.0.7 name=z ttl=1 type=A";

thread_local! {
    static SCENES: RefCell<[Scene; 2]> =
        RefCell::new([Scene::new(SHOW), Scene::new(&format!("ANEW = true {SHOW}"))]);
}

pub(crate) fn run(bytes: &[u8]) {
    let [port, message @ ..] = bytes else { return };
    SCENES.with_borrow_mut(|[look, anew]| {
        let (shown, same) = show(look, *port, message);
        let Some(same) = same else { return };
        assert_eq!(same, message);
        let (also, written) = show(anew, *port, message);
        assert_eq!(also, shown);
        // More than a datagram takes, where names were pointed at in ways that are not written again.
        let Some(written) = written else { return };
        let (mut again, kept) = show(look, *port, &written);
        assert_eq!(kept.as_deref(), Some(&written[..]));
        assert_eq!(again.pop().as_deref(), Some(MORE));
        assert_eq!(again, shown);
    });
}

/// What a rule says of the message, and what leaves of it.
fn show(scene: &mut Scene, port: u8, message: &[u8]) -> (Vec<String>, Option<Vec<u8>>) {
    let (client, server) = (("198.18.0.1", u16::from(port)), ("198.18.0.2", 53));
    // A response is the answer to a question that has been asked, or nobody looks at it.
    let is_response = message.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let frame = if is_response {
        let question = [&message[..2], &[0; 10]].concat();
        scene.show_frame(Stage::Datagram, &udp(client, server, &question));
        scene.said();
        udp(server, client, message)
    } else {
        udp(client, server, message)
    };
    let (verdict, frame) = scene.show_frame(Stage::Datagram, &frame);
    let mut said = scene.said();
    said.retain(|line| line != "debug udp: selecting dns dissector on flow");
    let failed = said.iter().find(|line| line.starts_with("error "));
    let too_long = failed.is_some_and(|line| line.contains("longest"));
    assert!(failed.is_none() || too_long, "{said:?}");
    said.retain(|line| !line.starts_with("error ") && !line.starts_with("debug "));
    if verdict != Verdict::Accept {
        return (said, None);
    }
    assert_intact(&frame);
    (said, Some(frame[42..].to_vec()))
}
