use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A TCP sequence number (RFC 9293 section 3.4): 32 bits that wrap.
///
/// Comparison is by signed distance, so it is only meaningful for numbers less than 2³¹ apart; a
/// number exactly 2³¹ away counts as before. That makes it no total order, hence no `Ord`.
/// No operation panics, whatever an attacker chooses.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// `self - earlier` as a signed distance in bytes; negative when `self` lies before `earlier`.
    #[must_use]
    pub const fn distance(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// Whether `self` lies before `other`.
    #[must_use]
    pub const fn before(self, other: Self) -> bool {
        self.distance(other) < 0
    }

    /// Whether `self` lies after `other`.
    #[must_use]
    pub const fn after(self, other: Self) -> bool {
        other.distance(self) < 0
    }

    /// Whether `self` lies at `other` or before it.
    #[must_use]
    pub const fn at_or_before(self, other: Self) -> bool {
        !self.after(other)
    }

    /// Whether `self` lies at `other` or after it.
    #[must_use]
    pub const fn at_or_after(self, other: Self) -> bool {
        !self.before(other)
    }

    /// The later of the two.
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    #[must_use]
    pub const fn min(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;
    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq({})", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        let last = Seq(u32::MAX);
        assert!(last.before(last + 1));
        assert!((last + 1).after(last));
        assert_eq!((last + 5).distance(last), 5);
        assert_eq!(last.distance(last + 5), -5);
        assert_eq!(last.max(Seq(3)), Seq(3));
        assert_eq!(last.min(Seq(3)), last);
    }

    #[test]
    fn equal_numbers_are_neither_before_nor_after() {
        assert!(!Seq(7).before(Seq(7)) && !Seq(7).after(Seq(7)));
        assert!(Seq(7).at_or_before(Seq(7)) && Seq(7).at_or_after(Seq(7)));
    }

    #[test]
    fn a_distance_of_two_to_the_31_is_before_from_both_ends_and_panics_nowhere() {
        let far = Seq(0) + (1 << 31);
        assert!(far.before(Seq(0)));
        assert!(Seq(0).before(far));
    }
}
