//! JA4: a fingerprint of a client's TLS library (FoxIO; the algorithm is published, and JA4 itself is
//! under a BSD licence).
//!
//! `t13d1516h2_8daaf6152771_e5627efa2ab1`: the transport, the version, whether a name is given, how many
//! ciphers and extensions, the first application protocol; a hash of the ciphers; a hash of the extensions
//! and signature algorithms. Ciphers and extensions are sorted, so that a client which shuffles them
//! keeps its fingerprint. GREASE counts nowhere.
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::hello::{ALPN, ClientHello, SERVER_NAME, is_grease};

impl ClientHello {
    /// The fingerprint of a hello over TCP.
    #[must_use]
    pub fn ja4(&self) -> String {
        let ciphers = known(&self.ciphers);
        let extensions = known(&self.extensions);
        let named = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        format!(
            "t{}{named}{:02}{:02}{}_{}_{}",
            version(self.version()),
            ciphers.len().min(99),
            extensions.len().min(99),
            protocol(self.alpn.first().map_or(&[], Vec::as_slice)),
            hash(&sorted(ciphers)),
            self.extensions_hash(extensions),
        )
    }

    fn extensions_hash(&self, mut extensions: Vec<u16>) -> String {
        // What they say is in the first part already.
        extensions.retain(|kind| *kind != SERVER_NAME && *kind != ALPN);
        let mut text = sorted(extensions);
        let algorithms = known(&self.signature_algorithms);
        if !algorithms.is_empty() {
            text.push('_');
            text.push_str(&list(&algorithms));
        }
        hash(&text)
    }
}

fn known(values: &[u16]) -> Vec<u16> {
    values.iter().copied().filter(|value| !is_grease(*value)).collect()
}

fn sorted(mut values: Vec<u16>) -> String {
    values.sort_unstable();
    list(&values)
}

/// `1301,1302`.
fn list(values: &[u16]) -> String {
    values.iter().map(|value| format!("{value:04x}")).collect::<Vec<_>>().join(",")
}

/// The first twelve digits; zeros for nothing.
fn hash(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(12);
    }
    Sha256::digest(text).iter().take(6).fold(String::new(), |mut digits, byte| {
        // Writing into a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

const fn version(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of the protocol's name; of its hexadecimal digits, where one is neither letter
/// nor digit.
fn protocol(name: &[u8]) -> String {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return "00".to_owned() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [*first, *last].map(char::from).iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the published description: Chrome's.
    fn chrome() -> ClientHello {
        ClientHello {
            legacy_version: 0x0303,
            ciphers: vec![
                0x4a4a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
                0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005,
                0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015, 0x1a1a,
            ],
            supported_versions: vec![0x3a3a, 0x0304, 0x0303],
            signature_algorithms: vec![
                0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
            ],
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            ..ClientHello::default()
        }
    }

    #[test]
    fn the_published_example_comes_out() {
        assert_eq!(chrome().ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn order_and_grease_do_not_matter_but_for_signatures() {
        let mut hello = chrome();
        hello.ciphers.reverse();
        hello.extensions.reverse();
        hello.extensions.push(0xfafa);
        assert_eq!(hello.ja4(), chrome().ja4());
        hello.signature_algorithms.reverse();
        assert_ne!(hello.ja4(), chrome().ja4());
    }

    #[test]
    fn little_is_said_with_zeros() {
        let hello = ClientHello { legacy_version: 0x0301, ..ClientHello::default() };
        assert_eq!(hello.ja4(), "t10i000000_000000000000_000000000000");
        let no_algorithms = ClientHello { extensions: vec![0x0017], ..hello };
        // echo -n 0017 | sha256sum
        assert_eq!(no_algorithms.ja4(), "t10i000100_000000000000_1ca028f07214");
    }

    #[test]
    fn protocols_are_shown_by_their_ends() {
        let ends: [(&[u8], &str); 7] = [
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"0\xab", "3b"),
            (b"0\xab\xcd1", "01"),
        ];
        for (name, shown) in ends {
            assert_eq!(protocol(name), shown);
        }
    }
}
