//! Packets between the programs: numbers, and octets behind their length.
//!
//! Pure. Trusts nothing that it reads: a length that the packet does not have is not believed. A number is 8
//! octets, the lowest first.
#![deny(clippy::disallowed_methods)]

/// A packet being written.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Adds a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// Adds how many there are of something.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.number(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// Adds octets behind their length.
    pub fn octets(&mut self, octets: &[u8]) -> &mut Self {
        self.count(octets.len()).0.extend_from_slice(octets);
        self
    }

    /// Adds what another one holds, without a length.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    /// Octets so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The packet.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// A packet being read: `None` is what does not stand in it.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// From its beginning.
    #[must_use]
    pub fn new(packet: &'a [u8]) -> Self {
        Self(packet)
    }

    /// The next number.
    pub fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    /// The next number, where it is one of that type.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    /// The next octets.
    pub fn octets(&mut self) -> Option<&'a [u8]> {
        let length = self.small()?;
        let (octets, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(octets)
    }

    /// The next octets, which are text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.octets()?).ok()
    }

    /// As many as a number before them says; a packet cannot name more than it holds.
    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        (0..count).map(|_| each(self)).collect()
    }

    /// Nothing is left over.
    #[must_use]
    pub fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_that_lies_about_its_lengths_is_not_read() {
        let packet = Writer::default().number(1).octets(b"abc").finish();
        for cut in 0..packet.len() {
            let mut reader = Reader::new(&packet[..cut]);
            assert!(reader.number().and_then(|_| reader.octets()).is_none(), "{cut}");
        }
        let huge = Writer::default().number(u64::MAX).finish();
        assert_eq!(Reader::new(&huge).octets(), None);
        assert_eq!(Reader::new(&huge).small::<u16>(), None);
        assert_eq!(Reader::new(&huge).list(Reader::number), None);
    }
}
