use super::*;

fn read(text: &str) -> (Map, Vec<String>) {
    let (map, faults) = Map::parse(Path::new("/etc/mail/table"), text.as_bytes());
    (map, faults.iter().map(Fault::to_string).collect())
}

#[test]
fn a_key_has_the_rest_of_its_line() {
    let (map, faults) = read("# a comment\n\nExample.COM\t error:5.7.1:550 No mail here \nother ok\n");
    assert!(faults.is_empty(), "{faults:?}");
    let row = map.get("example.com").unwrap();
    assert_eq!(
        (row.value, row.place.to_string().as_str()),
        ("error:5.7.1:550 No mail here", "/etc/mail/table:3")
    );
    assert!(map.get("Example.COM").is_none() && map.get("#").is_none());
    assert_eq!(map.iter().count(), 2);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let (_, faults) = read("a b\nalone\nA c\nx\u{1}y z\n");
    assert_eq!(
        faults,
        [
            "/etc/mail/table:2: \"alone\": nothing stands behind this key",
            "/etc/mail/table:3: \"a\" stands here already: /etc/mail/table:1",
            "/etc/mail/table:4: a control character (0x01) stands in this line",
        ]
    );
}
