//! The two sample tables of `etc/`: whoever prefers one finds in it what stands in the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PROGRAMS: [&str; 3] = ["smap", "smapd", "smap-lookup"];

fn sample(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../etc").join(name);
    fs::read_to_string(file).unwrap()
}

/// `PROGRAM[, PROGRAM]: ATTRIBUTE` of each line, those too that are commented out.
fn in_netperm(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once(':'));
    let ours = lines.filter(|(head, _)| head.split(", ").all(|program| PROGRAMS.contains(&program)));
    ours.filter_map(|(head, rest)| Some(format!("{head}: {}", rest.split_whitespace().next()?))).collect()
}

fn in_toml(text: &str) -> BTreeSet<String> {
    let mut head = "";
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            head = section.trim_matches('"');
        } else if let Some((attribute, _)) = line.strip_prefix('#').unwrap_or(line).split_once(" = ") {
            found.insert(format!("{head}: {attribute}"));
        }
    }
    found
}

#[test]
fn both_samples_name_the_same_attributes() {
    let (netperm, toml) = (in_netperm(&sample("netperm-table")), in_toml(&sample("netperm-table.toml")));
    assert!(netperm.contains("smap, smapd: domain") && toml.contains("smap, smapd: domain"));
    let only_in_one: Vec<&String> = netperm.symmetric_difference(&toml).collect();
    assert!(only_in_one.is_empty(), "{only_in_one:?}");
}
