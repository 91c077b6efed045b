use std::borrow::Cow;
use std::collections::BTreeSet;

use super::fields::Fields;

/// The random number by which a `ServerHello` says that it asks for another `ClientHello` (RFC 8446
/// section 4.1.3): SHA-256 of "HelloRetryRequest".
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Extensions, by the IANA registry.
pub(super) const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const ALPN: u16 = 16;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

/// Why bytes are no hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first bytes are no handshake record.
    #[error("not TLS")]
    NotTls,
    /// A record is empty, or longer than the 16 KiB that a record may be.
    #[error("a record of impossible length")]
    RecordLength,
    /// The first message is another.
    #[error("the handshake does not begin with a hello")]
    NotHello,
    /// More than [`HELLO_BYTES_MAX`](super::HELLO_BYTES_MAX).
    #[error("a hello of more than 64 KiB")]
    TooLong,
    /// A length within the hello points beyond it, or bytes are left over.
    #[error("a hello whose lengths do not fit")]
    Length,
    /// An extension is there twice (RFC 8446 section 4.2 forbids it).
    #[error("an extension is there twice")]
    RepeatedExtension,
    /// The server's name is empty, there twice, or has a byte in it that no name has.
    #[error("a server name that is none")]
    ServerName,
}

/// What a client offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The version of the old field, which TLS 1.3 leaves at 1.2.
    pub legacy_version: u16,
    /// Cipher suites as they were offered, GREASE included.
    pub ciphers: Vec<u16>,
    /// Types of the extensions in their order, GREASE included.
    pub extensions: Vec<u16>,
    /// The server's name in lower case and without a dot at the end.
    pub server_name: Option<Vec<u8>>,
    /// Application protocols, the preferred one first.
    pub alpn: Vec<Vec<u8>>,
    /// Versions as offered by the extension, GREASE included; empty if it is not there.
    pub supported_versions: Vec<u16>,
    /// Signature algorithms as offered, GREASE included.
    pub signature_algorithms: Vec<u16>,
    /// Whether data follows before the server has answered.
    pub has_early_data: bool,
    /// Whether the true server name is encrypted in an extension, or seems to be: what `server_name`
    /// says is then a front's.
    pub has_encrypted_hello: bool,
}

/// What a server has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// The version of the connection.
    pub version: u16,
    /// The cipher suite.
    pub cipher: u16,
    /// Types of the extensions in their order.
    pub extensions: Vec<u16>,
    /// The application protocol; TLS 1.3 says it encrypted.
    pub alpn: Option<Vec<u8>>,
    /// Whether it asks the client for another hello.
    pub is_retry: bool,
}

impl ClientHello {
    /// Parses the body of a handshake message of type 1.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(body);
        let mut head = || {
            let legacy_version = fields.u16()?;
            fields.take(32)?;
            fields.short_vector()?;
            let ciphers = fields.vector()?.numbers()?;
            fields.short_vector()?;
            Some(Self { legacy_version, ciphers, ..Self::default() })
        };
        let mut hello = head().ok_or(Malformed::Length)?;
        for_each_extension(fields, |kind, data| {
            hello.extensions.push(kind);
            hello.extension(kind, data)
        })?;
        Ok(hello)
    }

    fn extension(&mut self, kind: u16, mut data: Fields<'_>) -> Result<(), Malformed> {
        let whole = |vector: Option<Fields<'_>>, rest: Fields<'_>| {
            vector.filter(|_| rest.is_empty()).and_then(Fields::numbers).ok_or(Malformed::Length)
        };
        match kind {
            SERVER_NAME => self.server_name = Some(server_name(data)?),
            ALPN => self.alpn = protocols(data).ok_or(Malformed::Length)?,
            SIGNATURE_ALGORITHMS => {
                let list = data.vector();
                self.signature_algorithms = whole(list, data)?;
            }
            SUPPORTED_VERSIONS => {
                let list = data.short_vector();
                self.supported_versions = whole(list, data)?;
            }
            EARLY_DATA => self.has_early_data = true,
            ENCRYPTED_CLIENT_HELLO => self.has_encrypted_hello = true,
            _ => {}
        }
        Ok(())
    }

    /// The versions that are truly offered, GREASE left out.
    #[must_use]
    pub fn versions(&self) -> Vec<u16> {
        if self.supported_versions.is_empty() {
            return vec![self.legacy_version];
        }
        self.supported_versions.iter().copied().filter(|version| !is_grease(*version)).collect()
    }

    /// The highest version offered.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.versions().into_iter().max().unwrap_or(self.legacy_version)
    }
}

impl ServerHello {
    /// Parses the body of a handshake message of type 2.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(body);
        let mut head = || {
            let version = fields.u16()?;
            let is_retry = fields.take(32)? == RETRY_RANDOM;
            fields.short_vector()?;
            let cipher = fields.u16()?;
            fields.u8()?;
            Some(Self { version, cipher, is_retry, ..Self::default() })
        };
        let mut hello = head().ok_or(Malformed::Length)?;
        for_each_extension(fields, |kind, mut data| {
            hello.extensions.push(kind);
            match kind {
                SUPPORTED_VERSIONS => {
                    hello.version =
                        data.u16().filter(|_| data.is_empty()).ok_or(Malformed::Length)?;
                }
                ALPN => {
                    hello.alpn = protocols(data).ok_or(Malformed::Length)?.into_iter().next();
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(hello)
    }
}

/// The extensions at the end of a hello, which older ones have not at all.
fn for_each_extension(
    mut fields: Fields<'_>,
    mut each: impl FnMut(u16, Fields<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if fields.is_empty() {
        return Ok(());
    }
    let mut extensions = fields.vector().filter(|_| fields.is_empty()).ok_or(Malformed::Length)?;
    let mut seen = BTreeSet::new();
    while !extensions.is_empty() {
        let kind = extensions.u16().ok_or(Malformed::Length)?;
        let data = extensions.vector().ok_or(Malformed::Length)?;
        if !seen.insert(kind) {
            return Err(Malformed::RepeatedExtension);
        }
        each(kind, data)?;
    }
    Ok(())
}

/// RFC 6066 section 3: a list with one name.
fn server_name(mut data: Fields<'_>) -> Result<Vec<u8>, Malformed> {
    let mut list = data.vector().filter(|_| data.is_empty()).ok_or(Malformed::Length)?;
    let mut found = None;
    while !list.is_empty() {
        let kind = list.u8().ok_or(Malformed::Length)?;
        let name = list.vector().ok_or(Malformed::Length)?;
        if kind == 0 && found.replace(name.0).is_some() {
            return Err(Malformed::ServerName);
        }
    }
    let name = found.ok_or(Malformed::ServerName)?;
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() || name.iter().any(|byte| byte.is_ascii_control() || *byte == b' ') {
        return Err(Malformed::ServerName);
    }
    Ok(name.to_ascii_lowercase())
}

/// RFC 7301 section 3.1.
fn protocols(mut data: Fields<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = data.vector().filter(|_| data.is_empty())?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        protocols.push(list.short_vector()?.0.to_vec());
    }
    Some(protocols)
}

/// Values that mean nothing and keep servers from minding what they do not know (RFC 8701).
pub(super) const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// `1.3`, `1.2`, …, `ssl3`, or the number in hexadecimal.
#[must_use]
pub fn version_name(version: u16) -> Cow<'static, str> {
    match version {
        0x0304 => "1.3".into(),
        0x0303 => "1.2".into(),
        0x0302 => "1.1".into(),
        0x0301 => "1.0".into(),
        0x0300 => "ssl3".into(),
        0x0002 => "ssl2".into(),
        other => format!("{other:04x}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello with these extensions behind the fields that no test is about.
    fn body(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut list = Vec::new();
        for (kind, data) in extensions {
            list.extend(kind.to_be_bytes());
            list.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            list.extend(*data);
        }
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 4, 0x13, 1, 0x13, 2, 1, 0]);
        body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        body.extend(list);
        body
    }

    #[test]
    fn the_name_is_compared_as_names_are() {
        let hello = ClientHello::parse(&body(&[(0, b"\0\x0f\0\0\x0cwww.EXAMPLE.")])).unwrap();
        assert_eq!(hello.server_name.as_deref(), Some(&b"www.example"[..]));
    }

    #[test]
    fn what_servers_would_read_differently_is_malformed() {
        let parse = |extensions: &[(u16, &[u8])]| ClientHello::parse(&body(extensions)).err();
        let twice: &[u8] = b"\0\x08\0\0\x01a\0\0\x01b";
        assert_eq!(parse(&[(0, twice)]), Some(Malformed::ServerName));
        assert_eq!(parse(&[(0, b"\0\x05\0\0\x02a\0")]), Some(Malformed::ServerName));
        assert_eq!(parse(&[(0, b"\0\x03\0\0\0")]), Some(Malformed::ServerName));
        assert_eq!(parse(&[(0, b"\0\x09\0\0\x01a")]), Some(Malformed::Length));
        assert_eq!(parse(&[(21, b""), (21, b"")]), Some(Malformed::RepeatedExtension));
        assert_eq!(parse(&[(43, b"\x03\x03\x04\x03")]), Some(Malformed::Length));
        assert_eq!(parse(&[(16, b"\0\x03\x05h2")]), Some(Malformed::Length));
        let mut longer = body(&[]);
        longer.push(0);
        assert_eq!(ClientHello::parse(&longer), Err(Malformed::Length));
    }

    #[test]
    fn a_hello_without_extensions_is_one() {
        let mut old = body(&[]);
        old.truncate(old.len() - 2);
        let hello = ClientHello::parse(&old).unwrap();
        assert_eq!((hello.version(), hello.ciphers), (0x0303, vec![0x1301, 0x1302]));
    }
}
