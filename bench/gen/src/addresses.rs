//! Which connection has which addresses, by arithmetic both ways: a frame that comes back says which
//! connection it belongs to, and no table is asked.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Client ports in use: 1024 to 65535.
const PORTS: u64 = 64_512;
const FIRST_PORT: u16 = 1024;
/// Client addresses in use: the lower 16 bits.
const HOSTS: u64 = 1 << 16;

/// Connections that can be told apart; numbers are taken modulo this.
pub(crate) const CONNECTIONS_MAX: u64 = PORTS * HOSTS;

/// What connections are made of. IPv4: 198.18.x.y to 198.19.0.1 (RFC 2544's networks); IPv6:
/// fd00:7011:c::x to fd00:7011:5::1.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) ipv6: bool,
    pub(crate) server_port: u16,
    pub(crate) client_mac: [u8; 6],
    pub(crate) server_mac: [u8; 6],
}

const CLIENT_V4: [u8; 2] = [198, 18];
const SERVER_V4: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x7011, 0xc, 0, 0, 0, 0, 0);
const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x7011, 5, 0, 0, 0, 0, 1);

/// An IP address as it lies in a header: 4 or 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ip {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Addresses {
    /// The client's address and port.
    #[expect(clippy::cast_possible_truncation, reason = "both are taken modulo what fits")]
    pub(crate) fn client(&self, connection: u64) -> (Ip, u16) {
        let port = FIRST_PORT + (connection % PORTS) as u16;
        let [high, low] = ((connection / PORTS % HOSTS) as u16).to_be_bytes();
        let ip = if self.ipv6 {
            let mut octets = CLIENT_V6.octets();
            [octets[14], octets[15]] = [high, low];
            Ip::V6(octets)
        } else {
            let [a, b] = CLIENT_V4;
            Ip::V4([a, b, high, low])
        };
        (ip, port)
    }

    pub(crate) fn server(&self) -> (Ip, u16) {
        let ip = if self.ipv6 { Ip::V6(SERVER_V6.octets()) } else { Ip::V4(SERVER_V4.octets()) };
        (ip, self.server_port)
    }

    /// The connection, below [`CONNECTIONS_MAX`], whose client that is; none if it is none of ours.
    pub(crate) fn connection(&self, client: (Ip, u16), server: (Ip, u16)) -> Option<u64> {
        if server != self.server() {
            return None;
        }
        let host = match client.0 {
            Ip::V4([a, b, high, low]) if [a, b] == CLIENT_V4 => u16::from_be_bytes([high, low]),
            Ip::V6(octets) if octets[..14] == CLIENT_V6.octets()[..14] => {
                u16::from_be_bytes([octets[14], octets[15]])
            }
            _ => return None,
        };
        let port = client.1.checked_sub(FIRST_PORT)?;
        Some(u64::from(host) * PORTS + u64::from(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_again_by_its_addresses() {
        for ipv6 in [false, true] {
            let addresses =
                Addresses { ipv6, server_port: 80, client_mac: [2; 6], server_mac: [4; 6] };
            for connection in [0, 1, PORTS - 1, PORTS, 3_000_000, CONNECTIONS_MAX - 1] {
                let client = addresses.client(connection);
                assert_eq!(addresses.connection(client, addresses.server()), Some(connection));
            }
            let stranger = (Ip::V4([198, 18, 0, 1]), 1023);
            assert_eq!(addresses.connection(stranger, addresses.server()), None);
        }
    }
}
