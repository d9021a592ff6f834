use super::*;

fn parsed(text: &str) -> (Aliases, Vec<String>) {
    let (file, mut faults) = AliasFile::parse(Path::new("a"), text.as_bytes());
    let aliases = Aliases { files: vec!["a".into()], read: vec![Arc::new(file)] };
    faults.extend(aliases.loops(Delimiter::default()));
    faults.sort();
    (aliases, faults.iter().map(ToString::to_string).collect())
}

fn read(text: &str) -> Aliases {
    let (aliases, faults) = parsed(text);
    assert_eq!(faults, [""; 0], "{text}");
    aliases
}

/// What is wrong with one row.
fn fault(row: &str) -> String {
    let [fault] = parsed(row).1.try_into().unwrap();
    fault.strip_prefix("a:1: ").unwrap().to_owned()
}

/// Whom a name stands for, each with its line.
fn targets(text: &str, name: &str) -> Vec<String> {
    let aliases = read(text);
    let row = aliases.find(name, Delimiter::default()).unwrap().unwrap();
    let shown =
        |target: &Located<Target>| format!("{} {:?}", target.place.line_number().unwrap(), target.value);
    row.targets.iter().map(shown).collect()
}

#[test]
fn a_row_may_have_several_on_several_lines() {
    let text = "# who reads what\npostmaster: root\n\nTeam:\tjoe,\n\tjim@example.com ,, \n \n  \"ann lee\"\nroot: joe\n";
    assert_eq!(
        targets(text, "team"),
        [
            "4 Name(\"joe\")",
            "5 Address(Address { local: \"jim\", domain: Some(Domain(Name(\"example.com\"))) })",
            "7 Name(\"ann lee\")",
        ]
    );
    assert_eq!(targets(text, "ROOT"), ["8 Name(\"joe\")"]);
    assert_eq!(targets("a: b, \\\nc\nd: e", "a"), ["1 Name(\"b\")", "2 Name(\"c\")"]);
}

#[test]
fn a_name_may_stand_in_quotes() {
    assert_eq!(targets("\"joe smith\": joe", "Joe Smith"), ["1 Name(\"joe\")"]);
    assert_eq!(targets("\"a:b\" : joe", "a:b"), ["1 Name(\"joe\")"]);
    assert_eq!(targets("\"a\\\"b\": joe", "a\"b"), ["1 Name(\"joe\")"]);
    assert_eq!(targets("\"joe\": jim", "joe"), ["1 Name(\"jim\")"]);
}

#[test]
fn an_address_may_have_a_name_and_comments() {
    let address = "1 Address(Address { local: \"a\", domain: Some(Domain(Name(\"b.example\"))) })";
    for written in ["a@b.example", "<a@b.example>", "A, B <a@b.example>", "a@b.example (A (the, B))"] {
        let quoted = written.replace("A, B", "\"A B\"");
        let written = if written.contains("A, B") { quoted.replace('"', "") } else { quoted };
        assert_eq!(targets(&format!("x: {written}"), "x"), [address], "{written}");
    }
}

#[test]
fn a_program_is_known_by_its_base_name_and_split_into_words() {
    for command in [
        "|/usr/bin/vacation -a joe",
        "\"|/usr/bin/vacation -a joe\"",
        "|\"/usr/bin/vacation -a joe\"",
        "\"| exec vacation -a joe\"",
        "\"|../../vacation -a joe\"",
        "\"|/usr/bin/vacation -a \\\"joe\\\"\"",
    ] {
        let program = "1 Program(Program { name: \"vacation\", arguments: [\"-a\", \"joe\"] })";
        assert_eq!(targets(&format!("x: {command}"), "x"), [program], "{command}");
    }
    assert_eq!(
        targets("x: \"|p \\\"a, b\\\"\", y", "x"),
        ["1 Program(Program { name: \"p\", arguments: [\"a, b\"] })", "1 Name(\"y\")"]
    );
}

#[test]
fn what_a_shell_would_read_is_in_no_command() {
    for c in ["`id`", "<x", ">x", "a|b", "a;b", "a&b", "$HOME", "$(id)", "'x'", "*", "a?", "[ab]"] {
        let what = fault(&format!("x: \"|p {c}\""));
        assert!(what.ends_with("may not stand in a command: no shell reads it"), "{c}: {what}");
    }
    assert!(fault("x: \"|p a\\\\b\"").starts_with("'\\\\' may not"));
    for nothing in ["x: |", "x: \"|\"", "x: |exec", "x: |/", "x: \"|/bin/..\"", "x: |\"\""] {
        assert_eq!(fault(nothing), "a program must stand behind the |", "{nothing}");
    }
}

#[test]
fn files_and_lists_are_named_by_whole_paths() {
    assert_eq!(targets("x: /var/a", "x"), ["1 File(\"/var/a\")"]);
    assert_eq!(targets("x: \"/var/a b\"", "x"), ["1 File(\"/var/a b\")"]);
    assert_eq!(targets("x: /dev/null", "x"), ["1 Nobody"]);
    assert_eq!(targets("x: :include:/etc/l", "x"), ["1 Include(\"/etc/l\")"]);
    assert_eq!(targets("x: \":Include: /etc/l\"", "x"), ["1 Include(\"/etc/l\")"]);
    assert_eq!(fault("x: /var/../etc/passwd"), "\"/var/../etc/passwd\" must not have .. in it");
    assert_eq!(fault("x: :include:l"), "\"l\" must be an absolute path");
    assert_eq!(fault("x: /var/mail/"), "\"/var/mail/\" is not the path of a file");
    assert!(targets("x: /S=joe/G=x/@x400.example", "x")[0].contains("Address"));
}

#[test]
fn a_backslash_ends_the_looking_up() {
    assert_eq!(targets("joe: \\joe, jim", "joe"), ["1 Exactly(Name(\"joe\"))", "1 Name(\"jim\")"]);
}

#[test]
fn rows_that_make_no_sense_are_faults() {
    for (row, what) in [
        ("joe", "\"joe\" is not of the form \"name: address, address\""),
        ("joe:", "\"joe\": nobody stands behind the colon"),
        ("joe: ,", "\"joe\": nobody stands behind the colon"),
        (" joe: x", "this line begins with white space, but continues no row"),
        ("joe: a b", "\"a b\": a comma must stand between two addresses"),
        ("joe: a@b # c", "\"a@b # c\": a comma must stand between two addresses"),
        ("joe: a, # c", "a comment stands on a line of its own, from its beginning"),
        ("joe: \"a", "a \" is not closed on its line"),
        ("joe: <a@b", "a < is not closed on its line"),
        ("joe: a (b", "a ( is not closed on its line"),
        ("joe: host!user", "\"host!user\" is a route: write it as user@domain"),
        ("joe: user%host", "\"user%host\" is a route: write it as user@domain"),
        ("joe: a@b.", "\"a@b.\": bad domain"),
        ("joe: \"|p\" x", "\"\"|p\" x\": a comma must stand between two addresses"),
        ("joe: a\u{1}", "a control character (0x01) stands in this line"),
        (
            "joe@a.example: x",
            "\"joe@a.example\": only names at home have aliases: name a user of a domain in a virtusertable",
        ),
    ] {
        assert_eq!(fault(row), what, "{row}");
    }
    let (_, faults) = parsed("a: b\nA: c\nd: e\n f\ng: h\n");
    assert_eq!(
        faults,
        [
            "a:2: \"a\" stands here already: a:1",
            "a:4: a comma must stand between this line and the one before",
        ]
    );
}

#[test]
fn rows_that_lead_back_to_themselves_are_faults() {
    let (_, faults) = parsed("a: x@y, b\nb: c\nc: B, a\nd: a\n");
    assert_eq!(
        faults,
        [
            "a:3: this alias leads back to itself: a (a:1) -> b (a:2) -> c (a:3) -> a",
            "a:3: this alias leads back to itself: b (a:2) -> c (a:3) -> b",
        ]
    );
    read("joe: joe, joe@example.com\njim: \\jim\nann: joe, joe\n");
    let (_, faults) = parsed("a: b+x\nb+*: a\n");
    assert_eq!(faults, ["a:2: this alias leads back to itself: a (a:1) -> b+* (a:2) -> a"]);
}

#[test]
fn a_chain_as_long_as_the_file_is_walked() {
    let mut text: String = (0..20_000).map(|n| format!("u{n}: u{}\n", n + 1)).collect();
    read(&text);
    text += "u20000: u0\n";
    let (_, faults) = parsed(&text);
    let [fault] = faults.try_into().unwrap();
    assert!(fault.starts_with("a:20001: ") && fault.len() < 200, "{fault}");
}

#[test]
fn a_name_with_a_detail_is_looked_up_as_a_whole_first() {
    let aliases = read("joe+x: a\njoe+*: b\njim: c\n");
    let found = |name| {
        let row = aliases.find(name, Delimiter::default()).unwrap();
        row.map(|row| row.place.line_number().unwrap())
    };
    assert_eq!(
        ["Joe+X", "joe+y", "joe+", "joe", "jim+z"].map(found),
        [Some(1), Some(2), Some(2), None, Some(3)]
    );
}

#[test]
fn the_owner_of_a_list_is_one_address_or_the_name_itself() {
    let aliases = read(
        "l: a\nowner-l: joe@b.example\nm: a\nowner-m: joe, jim\nn: a\nowner-n: |p\nowner-owner: root\no: a\n",
    );
    let owner = |list| match aliases.owner(list).unwrap() {
        Some(Target::Name(name)) => name,
        Some(Target::Address(address)) => address.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(
        ["l", "m", "n", "owner-l", "o"].map(owner),
        ["joe@b.example", "owner-m", "owner-n", "root", "None"]
    );
}

#[test]
fn programs_and_files_stand_in_their_folders() {
    let aliases = read("a: |/usr/bin/vacation joe\nb: /var/archive/b, /var/archivex, /etc/passwd\n");
    let faults = |programs: Option<&str>, files: Option<&str>, exists: bool| {
        let faults = aliases.faults(programs.map(Path::new), files.map(Path::new), &|path| {
            assert_eq!(path, Path::new("/etc/smap/programs/vacation"));
            exists
        });
        let mut faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        faults.sort();
        faults
    };
    let folder = Some("/etc/smap/programs");
    assert_eq!(
        faults(folder, Some("/var/archive"), true),
        [
            "a:2: /etc/passwd does not lie below /var/archive (safe-files)",
            "a:2: /var/archivex does not lie below /var/archive (safe-files)",
        ]
    );
    let missing =
        "a:1: |vacation: no program vacation that can be run stands in /etc/smap/programs (safe-programs)";
    assert_eq!(faults(folder, Some("/"), false), [missing]);
    assert_eq!(faults(None, Some("/"), true).len(), 1);
    assert_eq!(faults(folder, None, true).len(), 3);
}

#[test]
fn an_included_file_names_neither_programs_nor_files() {
    let text =
        b"# the list\n\njoe, jim@example.com\n  ann  \n|/bin/sh\n/etc/passwd\n/dev/null\n:include:/x\n\"a\n";
    let (targets, faults) = included(Path::new("l"), text);
    assert_eq!(targets.len(), 5);
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "l:9: a \" is not closed on its line",
            "l:5: an included file may name neither programs nor files",
            "l:6: an included file may name neither programs nor files",
        ]
    );
}

#[test]
fn the_first_file_that_has_a_name_counts() {
    let file = |name: &str, text: &str| Arc::new(AliasFile::parse(Path::new(name), text.as_bytes()).0);
    let aliases = Aliases { files: Vec::new(), read: vec![file("a", "x: 1"), file("b", "x: 2\ny: 3")] };
    let place = |name| aliases.find(name, Delimiter::default()).unwrap().unwrap().place.to_string();
    assert_eq!((place("x"), place("y")), ("a:1".to_owned(), "b:2".to_owned()));
    let notes: Vec<String> =
        aliases.notes(&Place::whole(Path::new("t"))).iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 2);
    assert_eq!(notes[1], "b:1: note: x is already taken by a:1, and the first file counts");
    assert!(notes[0].contains("postmaster"));
}

#[test]
fn the_lists_that_rows_name_are_known() {
    let aliases = read("a: :include:/l/one, b\nc: :include:/l/two\nd: \":include:/l/one\", /f\n");
    assert_eq!(aliases.includes().collect::<Vec<_>>(), ["/l/one", "/l/two"].map(Path::new));
}
