//! Reads the Prometheus text format, as far as tests ask.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads a scrape's body.
    ///
    /// # Panics
    ///
    /// At a line that is no comment and no sample.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let is_sample = |line: &&str| !line.is_empty() && !line.starts_with('#');
        Self(text.lines().filter(is_sample).map(parse_sample).collect())
    }

    /// Sum of the samples called `name` that carry all of `labels`; `None` if there is not one.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let carries = |sample: &&Sample| {
            labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        let mut found = self.0.iter().filter(|sample| sample.name == name).filter(carries).peekable();
        found.peek()?;
        Some(found.map(|sample| sample.value).sum())
    }
}

#[track_caller]
fn parse_sample(line: &str) -> Sample {
    let (name, rest) =
        line.split_at(line.find(['{', ' ']).unwrap_or_else(|| panic!("no metric sample: {line}")));
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest),
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next().and_then(|value| value.parse().ok());
    Sample { name: name.to_owned(), labels, value: value.unwrap_or_else(|| panic!("no value in: {line}")) }
}

/// `a="x",b="y"} rest`. Values with an escaped quote do not occur in what tests look at, and end the parse early.
fn parse_labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    while let Some((label, rest)) = text.split_once("=\"") {
        if label.contains('}') {
            break;
        }
        let Some((value, rest)) = rest.split_once('"') else { break };
        labels.insert(label.trim_start_matches(',').to_owned(), value.to_owned());
        text = rest;
    }
    (labels, text.trim_start_matches('}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "# HELP hits Hits.\n# TYPE hits counter\n\
        hits_total{path=\"/a b\",code=\"200\"} 3\nhits_total{path=\"/c\",code=\"200\"} 4 1700000000\nup 1\n# EOF\n";

    #[test]
    fn a_value_is_the_sum_of_the_samples_that_carry_the_labels() {
        let metrics = Metrics::parse(SCRAPE);

        assert_eq!(metrics.value("hits_total", &[]), Some(7.0));
        assert_eq!(metrics.value("hits_total", &[("path", "/a b")]), Some(3.0));
        assert_eq!(metrics.value("up", &[]), Some(1.0));
    }

    #[test]
    fn what_is_not_there_is_not_zero() {
        let metrics = Metrics::parse(SCRAPE);

        assert_eq!(metrics.value("hits", &[]), None);
        assert_eq!(metrics.value("hits_total", &[("code", "500")]), None);
    }
}
