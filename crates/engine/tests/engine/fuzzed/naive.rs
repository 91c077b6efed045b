//! The simplest readers of what the engine reads cleverly.

/// A TCP option as it stands in the header; no bytes for END and NOP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawOption {
    pub(crate) kind: u8,
    pub(crate) at: usize,
    pub(crate) body: Vec<u8>,
}

/// Every option up to END or the first that is broken, and whether one was broken.
pub(crate) fn options(bytes: &[u8]) -> (Vec<RawOption>, bool) {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let kind = bytes[at];
        if kind == 0 {
            break;
        }
        if kind == 1 {
            found.push(RawOption { kind, at, body: Vec::new() });
            at += 1;
            continue;
        }
        if at + 1 >= bytes.len() {
            return (found, true);
        }
        let len = usize::from(bytes[at + 1]);
        if len < 2 || at + len > bytes.len() {
            return (found, true);
        }
        found.push(RawOption { kind, at, body: bytes[at + 2..at + len].to_vec() });
        at += len;
    }
    (found, false)
}

/// The blocks of every SACK option of which stacks read any.
pub(crate) fn sack_blocks(bytes: &[u8]) -> Vec<(u32, u32)> {
    let (options, _) = options(bytes);
    let sacks = options.iter().filter(|option| option.kind == 5 && option.body.len() % 8 == 0);
    sacks.flat_map(|option| blocks(&option.body)).collect()
}

pub(crate) fn blocks(body: &[u8]) -> Vec<(u32, u32)> {
    let edge = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    body.chunks_exact(8).map(|block| (edge(&block[..4]), edge(&block[4..]))).collect()
}

/// The TCP options of a frame that came out.
pub(crate) fn tcp_options(frame: &[u8]) -> &[u8] {
    let mut at = 14;
    while frame[at - 2..at] == [0x81, 0] {
        at += 4;
    }
    let tcp = if frame[at] >> 4 == 4 { at + usize::from(frame[at] & 15) * 4 } else { at + 40 };
    &frame[tcp + 20..tcp + usize::from(frame[tcp + 12] >> 4) * 4]
}
