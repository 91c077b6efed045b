use std::net::SocketAddr;
use std::str::FromStr;

/// Where metrics are served, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// Not at all.
    Off,
    /// There.
    At(SocketAddr),
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self::At(address)),
            _ => Err(format!(
                "\"{text}\" is no address with a port: want such as 127.0.0.1:9460, [::1]:9460, or off"
            )),
        }
    }
}

impl std::fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_take_an_address_or_off() {
        assert_eq!("off".parse(), Ok(MetricsAddress::Off));
        assert!("[::1]:9460".parse::<MetricsAddress>().is_ok());
        for bad in ["9460", "localhost:9460", "127.0.0.1", "127.0.0.1:0", ""] {
            assert!(bad.parse::<MetricsAddress>().is_err(), "{bad}");
        }
    }
}
