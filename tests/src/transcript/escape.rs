//! Octets that a text file cannot hold, or would be long with.

/// The octets that a text with escapes stands for.
///
/// # Panics
/// An escape is none.
pub(super) fn octets(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        octets.extend_from_slice(plain.as_bytes());
        let (kind, after) = escape.split_at(1);
        rest = after;
        match kind {
            "r" => octets.push(b'\r'),
            "n" => octets.push(b'\n'),
            "t" => octets.push(b'\t'),
            "0" => octets.push(0),
            "\\" => octets.push(b'\\'),
            "x" => {
                let (digits, after) = rest.split_at(2);
                octets.push(u8::from_str_radix(digits, 16).expect("\\xNN"));
                rest = after;
            }
            "{" => {
                let (repeated, after) = rest.split_once('}').expect("\\{N*TEXT}");
                let (times, repeated) = repeated.split_once('*').expect("\\{N*TEXT}");
                octets.extend(self::octets(repeated).repeat(times.parse().expect("\\{N*TEXT}")));
                rest = after;
            }
            _ => panic!("\\{kind} is no escape"),
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    octets
}
