//! Frames built by the letter of the RFCs, one byte after the other, and a checksum in a loop of
//! 16-bit words: a second implementation for the first to be held against.

pub(crate) const FIN: u16 = 1;
pub(crate) const SYN: u16 = 2;
pub(crate) const RST: u16 = 4;
pub(crate) const PSH: u16 = 8;
pub(crate) const ACK: u16 = 16;
pub(crate) const URG: u16 = 32;

#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) v6: bool,
    /// (EtherType, control word), outer first.
    pub(crate) tags: Vec<(u16, u16)>,
    pub(crate) ttl: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u16,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) ports: (u16, u16),
    /// A multiple of 4 long.
    pub(crate) options: Vec<u8>,
    /// IPv4 options, a multiple of 4 long.
    pub(crate) ip_options: Vec<u8>,
    /// IPv6 extension headers: number and bytes, whose first is set to the next number.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) payload: Vec<u8>,
    /// Bytes after the datagram.
    pub(crate) padding: usize,
    pub(crate) protocol: u8,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            v6: false,
            tags: Vec::new(),
            ttl: 64,
            seq: 1000,
            ack: 2000,
            flags: ACK,
            window: 512,
            urgent: 0,
            ports: (40000, 80),
            options: Vec::new(),
            ip_options: Vec::new(),
            extensions: Vec::new(),
            payload: b"hello".to_vec(),
            padding: 0,
            protocol: 6,
        }
    }
}

pub(crate) const SOURCE_V4: [u8; 4] = [198, 18, 0, 1];
pub(crate) const DESTINATION_V4: [u8; 4] = [198, 18, 0, 2];

pub(crate) fn address_v6(last: u8) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[15] = last;
    octets
}

impl Spec {
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.ports.0.to_be_bytes());
        tcp.extend(self.ports.1.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        let words = (20 + self.options.len()) as u16 / 4;
        tcp.extend((words << 12 | self.flags).to_be_bytes());
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(&self.options);
        tcp.extend(&self.payload);
        let (source, destination) = if self.v6 {
            (address_v6(1).to_vec(), address_v6(2).to_vec())
        } else {
            (SOURCE_V4.to_vec(), DESTINATION_V4.to_vec())
        };
        let mut covered = [source.clone(), destination.clone()].concat();
        covered.extend([0, 6]);
        covered.extend((tcp.len() as u16).to_be_bytes());
        covered.extend(&tcp);
        let checksum = !naive_sum(&covered);
        tcp[16..18].copy_from_slice(&checksum.to_be_bytes());

        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for (ethertype, control) in &self.tags {
            frame.extend(ethertype.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        frame.extend(if self.v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        if self.v6 {
            self.ipv6(&mut frame, &source, &destination, tcp.len());
        } else {
            self.ipv4(&mut frame, &source, &destination, tcp.len());
        }
        frame.extend(tcp);
        frame.extend(std::iter::repeat_n(0xaa, self.padding));
        frame
    }

    fn ipv4(&self, frame: &mut Vec<u8>, source: &[u8], destination: &[u8], len: usize) {
        let header_len = 20 + self.ip_options.len();
        let mut ip = vec![0x40 | (header_len / 4) as u8, 0];
        ip.extend(((header_len + len) as u16).to_be_bytes());
        ip.extend([0x12, 0x34, 0x40, 0, self.ttl, self.protocol, 0, 0]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(&self.ip_options);
        fix_ipv4(&mut ip);
        frame.extend(ip);
    }

    fn ipv6(&self, frame: &mut Vec<u8>, source: &[u8], destination: &[u8], len: usize) {
        let extensions_len: usize = self.extensions.iter().map(|(_, bytes)| bytes.len()).sum();
        let first = self.extensions.first().map_or(self.protocol, |(number, _)| *number);
        frame.extend([0x60, 0, 0, 0]);
        frame.extend(((extensions_len + len) as u16).to_be_bytes());
        frame.extend([first, self.ttl]);
        frame.extend(source);
        frame.extend(destination);
        for (index, (_, bytes)) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(index + 1).map_or(self.protocol, |(number, _)| *number);
            frame.push(next);
            frame.extend(&bytes[1..]);
        }
    }
}

/// Sets the checksum of an IPv4 header.
pub(crate) fn fix_ipv4(header: &mut [u8]) {
    let len = usize::from(header[0] & 0x0f) * 4;
    header[10..12].copy_from_slice(&[0, 0]);
    let checksum = !naive_sum(&header[..len]);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// RFC 1071 section 1, word for word.
pub(crate) fn naive_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    sum as u16
}
