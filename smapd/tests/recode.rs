//! Messages for hosts that take no 8-bit text: `recode/NAME.eml` is a message, `recode/NAME.out` what becomes of it, or
//! a word why nothing does; both with LF. `SMAP_BLESS=1` writes the second anew.
#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it should be")]

use std::fs;
use std::path::PathBuf;

use smapd::content::{Needs, Obstacle, Plan, Recoder, Survey};

/// Name, message, and where it is written what becomes of it.
fn cases() -> Vec<(String, Vec<u8>, PathBuf)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recode");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            (name, crlf(&fs::read(&file).unwrap()), file.with_extension("out"))
        })
        .collect()
}

fn crlf(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|&octet| if octet == b'\n' { b"\r\n".to_vec() } else { vec![octet] }).collect()
}

fn survey(text: &[u8], size: usize) -> Needs {
    let mut survey = Survey::default();
    text.chunks(size).for_each(|piece| survey.take(piece));
    survey.finish()
}

fn recoded(text: &[u8], plan: &Plan, size: usize) -> Vec<u8> {
    let (mut recoder, mut output) = (Recoder::new(plan.clone()), Vec::new());
    text.chunks(size).for_each(|piece| recoder.take(piece, &mut output));
    recoder.finish(&mut output);
    output
}

fn outcome(text: &[u8]) -> Vec<u8> {
    match survey(text, text.len().max(1)).plan {
        Ok(Some(plan)) => recoded(text, &plan, text.len()),
        Ok(None) => crlf(b"unchanged\n"),
        Err(obstacle) => crlf(format!("{obstacle:?}\n").as_bytes()),
    }
}

#[test]
fn what_becomes_of_each_message_stands_beside_it() {
    for (name, text, file) in cases() {
        let shown = String::from_utf8(outcome(&text)).unwrap().replace("\r\n", "\n");
        if std::env::var_os("SMAP_BLESS").is_some() {
            fs::write(&file, &shown).unwrap();
        }
        assert_eq!(shown, fs::read_to_string(&file).unwrap(), "{name}");
    }
}

#[test]
fn where_the_text_is_cut_makes_no_difference() {
    for (name, text, _) in cases() {
        let whole = survey(&text, text.len().max(1));
        for size in [1, 2, 3, 17, 100, 1000] {
            assert_eq!(survey(&text, size), whole, "{name}, {size}");
            if let Ok(Some(plan)) = &whole.plan {
                assert_eq!(recoded(&text, plan, size), outcome(&text), "{name}, {size}");
            }
        }
    }
}

#[test]
fn what_was_recoded_needs_nothing_any_more() {
    for (name, text, _) in cases() {
        if let Ok(Some(plan)) = survey(&text, 100).plan {
            let recoded = recoded(&text, &plan, 100);
            assert!(recoded.is_ascii(), "{name}");
            assert!(recoded.split(|&octet| octet == b'\n').all(|line| line.len() <= 999), "{name}");
            let nothing = Needs { header: false, body: false, plan: Ok(None) };
            assert_eq!(survey(&recoded, 100), nothing, "{name}");
        }
    }
}

/// A break of ours must not make a boundary of what stood in the middle of a line.
#[test]
fn no_line_that_is_broken_becomes_a_boundary() {
    for before in 0..200 {
        let line = format!("ü{}--b", "x".repeat(before));
        let text = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{line}\r\n--b--\r\n");
        let Ok(Some(plan)) = survey(text.as_bytes(), 100).plan else { panic!("{text}") };
        let recoded = String::from_utf8(recoded(text.as_bytes(), &plan, 100)).unwrap();
        assert_eq!(recoded.matches("\r\n--").count(), 2, "{recoded}");
    }
}

/// What is a NUL here is a question mark on the wire.
#[test]
fn nothing_is_done_where_a_nul_could_become_a_boundary() {
    let text = "Content-Type: multipart/mixed; boundary=\"b?\"\r\n\r\n--b?\r\n\r\n\u{fc}\r\n--b\0\r\n\r\nx\r\n--b?--\r\n";
    assert_eq!(survey(text.as_bytes(), 100).plan, Err(Obstacle::Unclear));
}

#[test]
fn parts_in_parts_have_an_end() {
    let nested = |levels: usize| {
        let mut text = String::new();
        for level in 0..levels {
            text += &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
        }
        survey((text + "\r\ngrün\r\n").as_bytes(), 1000).plan
    };
    assert!(matches!(nested(100), Ok(Some(_))));
    assert_eq!(nested(101), Err(Obstacle::TooMany));
    assert_eq!(nested(5000), Err(Obstacle::TooMany));
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(5000) + "\r\ngrün\r\n";
    assert_eq!(survey(messages.as_bytes(), 1000).plan, Err(Obstacle::TooMany));
    let many =
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\ngrün\r\n".repeat(20_000));
    assert_eq!(survey(many.as_bytes(), 1000).plan, Err(Obstacle::TooMany));
}

#[test]
fn a_field_without_end_is_read_in_bounded_memory() {
    let text = format!("Content-Type: text/plain; x=\"{}\"\r\n\r\ngrün\r\n", "x".repeat(100_000));
    for size in [1, 1000, 1_000_000] {
        assert_eq!(survey(text.as_bytes(), size).plan, Err(Obstacle::Unclear));
    }
    let text = format!("Subject: {}\r\n\r\ngrün\r\n", "x".repeat(100_000));
    assert!(matches!(survey(text.as_bytes(), 1000).plan, Ok(Some(_))));
}
