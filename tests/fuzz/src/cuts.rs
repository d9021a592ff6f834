//! An input that arrives in pieces.

/// How the octets of a stream are cut into pieces: eight lengths, over and over again.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    lengths: [usize; Self::OCTETS],
}

impl Cuts {
    /// Octets at the head of an input that say how the rest of it is cut.
    pub const OCTETS: usize = 8;

    /// All that there is in one piece.
    pub const WHOLE: Self = Self { lengths: [usize::MAX; Self::OCTETS] };

    /// One octet a piece.
    pub const SINGLE: Self = Self { lengths: [1; Self::OCTETS] };

    /// Takes the lengths from the head of an input: small ones are exact, the largest are many kilobytes.
    #[must_use]
    pub fn split_off(input: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = input.split_first_chunk::<{ Self::OCTETS }>()?;
        let length = |octet: u8| match octet {
            0 => 1,
            1..0xf0 => usize::from(octet),
            _ => usize::from(octet - 0xef) * 2048,
        };
        Some((Self { lengths: head.map(length) }, rest))
    }

    /// The pieces of a stream.
    pub fn pieces(self, mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut lengths = self.lengths.into_iter().cycle();
        std::iter::from_fn(move || {
            let length = lengths.next()?.min(stream.len());
            let (piece, rest) = stream.split_at_checked(length)?;
            stream = rest;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// Lets a short input stand for a long one: `0xff N OCTET` is N times 1024 octets, `0xff 0` the octet itself.
#[must_use]
pub fn unrolled(input: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut rest = input;
    while let Some((&octet, after)) = rest.split_first() {
        rest = match (octet, after) {
            (0xff, [0, after @ ..]) => {
                stream.push(0xff);
                after
            }
            (0xff, [times, octet, after @ ..]) => {
                stream.resize(stream.len() + usize::from(*times) * 1024, *octet);
                after
            }
            _ => {
                stream.push(octet);
                after
            }
        };
    }
    stream
}
