//! `tests/ROWS.md` against the tests that there are: no row without a test, no test without its row, no name that
//! nothing has.

use std::ops::RangeInclusive;

use libtest_mimic::Trial;
use smap_tests::markdown;

/// Rows about one session, and those about the machine, other servers, bounces and loops. The rows between them are
/// those of TLS and of AUTH, which are not there.
const LISTED: [RangeInclusive<u32>; 2] = [1..=85, 100..=123];
/// Rows that nothing holds yet; the table says why.
const EXCEPTIONS: [u32; 2] = [54, 76];

/// A line of the table.
#[derive(Debug)]
struct Row {
    number: u32,
    /// Names of tests; one that ends in `*` is the beginning of some.
    tests: Vec<String>,
    remark: String,
}

impl Row {
    fn read(cells: &[&str]) -> Self {
        let [number, _, _, tests, remark] = cells else { panic!("five columns: {cells:?}") };
        let number = number.parse().expect("the first is the number of the row");
        let tests = markdown::quoted(tests).into_iter().map(str::to_owned).collect();
        Self { number, tests, remark: (*remark).to_owned() }
    }

    fn names(&self, test: &str) -> bool {
        self.tests.iter().any(|name| is_named(test, name))
    }
}

fn is_named(test: &str, name: &str) -> bool {
    name.strip_suffix('*').map_or(test == name, |beginning| test.starts_with(beginning))
}

/// The rows in the name of a test: `row_104_...`, `row-104-...` or `row_055_to_067_...`.
fn rows_of(test: &str) -> Option<RangeInclusive<u32>> {
    let mut words = test.split(['_', '-']);
    let first = words.next().filter(|word| *word == "row").and_then(|_| words.next())?.parse().ok()?;
    let last = if words.next() == Some("to") { words.next()?.parse().ok()? } else { first };
    Some(first..=last)
}

/// The comparison, with the names of all other tests.
pub(crate) fn trial(tests: Vec<String>) -> Trial {
    Trial::test("hostile::table::every_row_has_its_tests_and_every_test_its_row", move || {
        let text = include_str!("../../ROWS.md");
        let rows: Vec<Row> = markdown::rows(text).iter().map(|cells| Row::read(cells)).collect();
        let tests: Vec<&str> = tests.iter().map(|test| test.rsplit("::").next().unwrap_or(test)).collect();
        assert_is_complete(&rows);
        assert_rows_are_held(&rows, &tests);
        assert_tests_are_listed(&rows, &tests);
        Ok(())
    })
}

fn assert_is_complete(rows: &[Row]) {
    let numbers: Vec<u32> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, LISTED.into_iter().flatten().collect::<Vec<_>>());
    for row in rows {
        let excepted = EXCEPTIONS.contains(&row.number);
        assert_eq!(row.tests.is_empty(), excepted, "row {}", row.number);
        assert!(!excepted || !row.remark.is_empty(), "row {}: why not?", row.number);
    }
}

fn assert_rows_are_held(rows: &[Row], tests: &[&str]) {
    for row in rows.iter().filter(|row| !row.tests.is_empty()) {
        let number = row.number;
        let own = |test: &&str| rows_of(test).is_some_and(|rows| rows.contains(&number));
        assert!(tests.iter().any(own), "row {number}: no test has its number");
        for name in &row.tests {
            assert!(tests.iter().any(|test| is_named(test, name)), "row {number}: there is no {name}");
        }
    }
}

fn assert_tests_are_listed(rows: &[Row], tests: &[&str]) {
    for test in tests {
        for number in rows_of(test).into_iter().flatten() {
            let row = rows.iter().find(|row| row.number == number);
            assert!(row.is_some_and(|row| row.names(test)), "{test} is not in row {number} of the table");
        }
    }
}
