//! Addresses, paths, and what becomes of them in the templates of transports. The input is an address or a path,
//! and after a LF a template.
//!
//! Oracle: what is printed parses to the same, is harmless and within the limits of RFC 5321 section 4.5.3.1; every
//! address may stand in a path; what a path parser leaves is the end of what it was given. Expanded, no address
//! leads out of the template's folder or deeper than the template says, begins a component of a path with `-` or
//! `.`, or makes an option of an argument.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use netperm::transport::{ArgTemplate, Names, PathTemplate};
use smap_common::address::{
    Address, Domain, MAX_DOMAIN, MAX_LABEL, MAX_LOCAL_PART, MAX_PATH, ReversePath, parse_path,
};
use smap_fuzz::text::assert_harmless;

const PATHS: [&str; 6] = ["/m/%u/", "/m/%d/%u", "/m/x-%u", "/m/%u.box", "/%d/%u/", "/m/%u%d"];
const ARGUMENTS: [&str; 7] = ["%u", "%d", "%s", "--user=%u", "-f%s", "/m/%u/%d", "%u@%d"];

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |&octet| octet == b'\n');
    let text = lines.next().unwrap_or_default();
    let own = lines.next().and_then(|template| str::from_utf8(template).ok());
    let of_path = parse_path(text).ok();
    if let Some((address, rest)) = &of_path {
        assert!(text.ends_with(rest));
        assert!(text.len() - rest.len() <= MAX_PATH);
        assert_eq!(ReversePath::parse_prefix(text), Ok((ReversePath::Mailbox(address.clone()), *rest)));
    }
    for address in [Address::parse(text).ok(), of_path.map(|(address, _)| address)].into_iter().flatten() {
        assert_prints(&address);
        let domain = address.domain().map(Domain::to_string).unwrap_or_default();
        let names = Names { user: address.local_part(), domain: &domain, sender: &address.to_string() };
        for template in PATHS.into_iter().chain(own) {
            assert_stays_in_its_folder(template, &names);
        }
        for template in ARGUMENTS.into_iter().chain(own) {
            assert_stays_an_argument(template, &names);
        }
    }
});

fn assert_prints(address: &Address) {
    let printed = address.to_string();
    assert_harmless(&printed);
    assert_eq!(Address::parse(printed.as_bytes()).as_ref(), Ok(address));
    assert!(address.local_part().len() <= MAX_LOCAL_PART && !address.local_part().is_empty());
    assert_harmless(address.local_part());
    match address.domain() {
        Some(domain) => {
            let text = domain.to_string();
            assert_eq!(text.parse::<Domain>().as_ref(), Ok(domain));
            assert!(text.len() <= MAX_DOMAIN && text.split('.').all(|label| label.len() <= MAX_LABEL));
            assert!(!text.starts_with(['-', '.']) && !text.contains('/'));
        }
        None => assert!(address.is_postmaster()),
    }
    let path = format!("<{address}>");
    assert!(path.len() <= MAX_PATH, "{path}");
    assert_eq!(parse_path(path.as_bytes()), Ok((address.clone(), &b""[..])));
}

fn components(path: &Path) -> usize {
    assert!(path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))));
    path.components().count()
}

fn assert_stays_in_its_folder(template: &str, names: &Names<'_>) {
    let Ok(parsed) = template.parse::<PathTemplate>() else { return };
    let Ok(path) = parsed.expand(names.user, names.domain) else { return };
    assert!(path.is_absolute() && path.starts_with(parsed.root()), "{}", path.display());
    assert_eq!(components(&path), components(&parsed.expand("x", "x").unwrap()), "{}", path.display());
    assert_no_control(path.to_str().unwrap());
    let made_of_a_name = |part: Component<'_>| {
        let text = part.as_os_str().to_str().unwrap();
        text == names.user || text == names.domain
    };
    for part in path.components().filter(|part| made_of_a_name(*part) && template.contains('%')) {
        let literal = template.split('/').any(|written| Some(written) == part.as_os_str().to_str());
        let text = part.as_os_str().to_str().unwrap();
        assert!(literal || !text.starts_with(['-', '.']), "{}", path.display());
    }
}

fn assert_stays_an_argument(template: &str, names: &Names<'_>) {
    let Ok(parsed) = template.parse::<ArgTemplate>() else { return };
    let Ok(argument) = parsed.expand(names) else { return };
    assert_no_control(&argument);
    let own_option = template.starts_with('-');
    assert!(own_option || !argument.starts_with('-'), "{template} became {argument}");
    if template.starts_with('/') {
        assert_eq!(argument.matches('/').count(), template.matches('/').count(), "{argument}");
        let escapes = |part: &str| part == "..";
        assert!(template.split('/').any(escapes) || !argument.split('/').any(escapes), "{argument}");
    }
}

/// What else may do harm is not in the names, and in a template it is the operator's own.
fn assert_no_control(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}
