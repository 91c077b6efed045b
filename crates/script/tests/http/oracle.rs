//! A reader of HTTP/1 that is too simple to be wrong: for messages that are all there.

/// A message: its head, and its body without framing. Trailers are left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The messages that `text` is, each of which says how long it is.
pub(crate) fn read(text: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (head, after) =
            rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {rest:?}"));
        let lower = head.to_ascii_lowercase();
        let (body, after) = if lower.contains("transfer-encoding: chunked") {
            chunks(after)
        } else if let Some((_, length)) = lower.split_once("content-length: ") {
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            (after[..length].to_owned(), &after[length..])
        } else {
            (String::new(), after)
        };
        messages.push(Message { head: head.to_owned(), body });
        rest = after;
    }
    messages
}

fn chunks(text: &str) -> (String, &str) {
    let (mut body, mut rest) = (String::new(), text);
    loop {
        let (line, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
        if size == 0 {
            let mut rest = after;
            while let Some((line, after)) = rest.split_once("\r\n") {
                rest = after;
                if line.is_empty() {
                    break;
                }
            }
            return (body, rest);
        }
        body.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
}
