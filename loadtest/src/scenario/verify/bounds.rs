//! What may be, and what may not: `--allow lost=0`, `--allow resume-p99=2s`.
//!
//! Place in the data path: none; the report asks at the end. Whatever is wrong by its nature has the bound 0 unless another is
//! given; what a fault of ours makes happen (a connection that ends) has none.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::tally::Tally;

/// One bound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Bound {
    name: String,
    most: Most,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Most {
    Count(u64),
    Time(Duration),
}

/// Bounded by 0 unless something else is said.
const STRICT: [&str; 12] = [
    "lost",
    "lost-silently",
    "duplicated",
    "duplicated-silently",
    "reordered",
    "damaged",
    "falsely-recovered",
    "not-resumed",
    "refused",
    "against-the-protocol",
    "ghosts",
    "absent",
];
/// Bounded only if somebody asks for it.
const COUNTS: [&str; 10] = [
    "unannounced-closes",
    "closes-with-a-code",
    "silent-connections",
    "refused-connects",
    "announced-reconnects",
    "gaps-told",
    "recovered-false",
    "refused-for-now",
    "peak-retries-a-second",
    "most-returns-of-a-client",
];
const TIMES: [&str; 5] =
    ["resume-p50", "resume-p99", "resume-from-loss-p50", "resume-from-loss-p99", "catch-up"];

/// What is beyond its bound, in words.
pub(super) fn violations(
    bounds: &[Bound],
    counts: &BTreeMap<&'static str, u64>,
    tally: &Tally,
    caught_up_after: Duration,
) -> Vec<String> {
    let named: BTreeMap<String, u64> =
        counts.iter().map(|(name, count)| (hyphenated(name), *count)).collect();
    let count_of = |name: &str| named.get(name).copied().unwrap_or(0);
    let given = |name: &str| bounds.iter().rev().find(|bound| bound.name == name);
    let mut found = Vec::new();
    for name in STRICT.iter().chain(&COUNTS) {
        let most = match given(name).map(|bound| bound.most) {
            Some(Most::Count(most)) => most,
            Some(Most::Time(_)) | None if STRICT.contains(name) => 0,
            Some(Most::Time(_)) | None => continue,
        };
        let count = count_of(name);
        if count > most {
            found.push(format!("{name}: {count}, and no more than {most} may be"));
        }
    }
    let microseconds = |us: f64| Duration::from_secs_f64(us / 1e6);
    let (resume, from_loss) = (tally.resume.summary(""), tally.resume_from_loss.summary(""));
    for name in TIMES {
        let Some(Most::Time(most)) = given(name).map(|bound| bound.most) else { continue };
        let time = match name {
            "resume-p50" => microseconds(resume.p50_us),
            "resume-p99" => microseconds(resume.p99_us),
            "resume-from-loss-p50" => microseconds(from_loss.p50_us),
            "resume-from-loss-p99" => microseconds(from_loss.p99_us),
            _ => caught_up_after,
        };
        if time > most {
            found.push(format!("{name}: {time:.3?}, and no more than {most:?} may be"));
        }
    }
    found
}

/// A counter's name as it is written in a bound.
fn hyphenated(name: &str) -> String {
    name.replace(',', "").replace(' ', "-")
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, most) =
            text.split_once('=').ok_or_else(|| format!("`{text}`: write it as lost=0 or resume-p99=2s"))?;
        let most = if TIMES.contains(&name) {
            let time = humantime::parse_duration(most);
            Most::Time(time.map_err(|_| format!("`{most}` is no time; write it as {name}=300ms"))?)
        } else if STRICT.contains(&name) || COUNTS.contains(&name) {
            Most::Count(most.parse().map_err(|_| format!("`{most}` is no count; write it as {name}=0"))?)
        } else {
            let known = [&STRICT[..], &COUNTS, &TIMES].concat().join(", ");
            return Err(format!("nothing is called `{name}`; take one of {known}"));
        };
        Ok(Self { name: name.to_owned(), most })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::Wrong;
    use super::*;

    #[test]
    fn what_is_wrong_is_bounded_by_zero_and_by_what_is_given() {
        let mut tally = Tally::new();
        tally.found(Wrong::Lost, 2, || "gone".to_owned());
        tally.found(Wrong::LostAsTold, 3, || "gone, and told".to_owned());
        let found = |bounds: &[&str]| {
            let bounds: Vec<Bound> = bounds.iter().map(|text| text.parse().unwrap()).collect();
            violations(&bounds, &tally.counts(), &tally, Duration::ZERO)
        };
        assert_eq!(
            found(&[]),
            ["lost: 5, and no more than 0 may be", "lost-silently: 2, and no more than 0 may be"]
        );
        assert_eq!(found(&["lost=5"]), ["lost-silently: 2, and no more than 0 may be"]);
        assert_eq!(found(&["lost=4", "lost-silently=2"]), ["lost: 5, and no more than 4 may be"]);
        assert_eq!(found(&["lost=5", "lost-silently=2"]), [""; 0]);
    }

    #[test]
    fn times_and_ends_are_bounded_where_somebody_asks() {
        let mut tally = Tally::new();
        tally.resume.record(300_000_000);
        tally.unannounced_closes = 1;
        let found = |bound: &str| {
            violations(&[bound.parse().unwrap()], &tally.counts(), &tally, Duration::from_secs(3)).len()
        };
        for (bound, expected) in [
            ("resume-p50=200ms", 1),
            ("resume-p99=400ms", 0),
            ("catch-up=2s", 1),
            ("catch-up=3s", 0),
            ("unannounced-closes=0", 1),
            ("unannounced-closes=1", 0),
        ] {
            assert_eq!(found(bound), expected, "{bound}");
        }
    }

    #[test]
    fn every_bounded_counter_is_there() {
        let tally = Tally::new();
        let counts: Vec<String> = tally.counts().keys().map(|name| hyphenated(name)).collect();
        for name in STRICT.iter().chain(&COUNTS) {
            assert!(counts.iter().any(|count| count == name), "{name}");
        }
    }

    #[test]
    fn bounds_that_mean_nothing_are_refused() {
        for (text, words) in [
            ("lost", "write it as lost=0"),
            ("lots=0", "nothing is called `lots`; take one of lost, lost-silently"),
            ("lost=few", "`few` is no count"),
            ("resume-p99=2", "`2` is no time"),
        ] {
            assert!(text.parse::<Bound>().unwrap_err().contains(words), "{text}");
        }
    }
}
