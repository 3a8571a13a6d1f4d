//! OpenMetrics text made into Prometheus' older format 0.0.4, which not every scraper is beyond.
//!
//! The two differ in their comments: there a counter's type is declared under its name with `_total`, an `info` is a
//! gauge named `_info`, and units, exemplars and the end mark are unknown.

/// The same metrics in the older format.
pub(super) fn from_openmetrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // Held back: the name depends on the type, which is on the next line.
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, help)) = help.take() {
                out.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            out.push_str(without_exemplar(line));
            out.push('\n');
        }
    }
    out
}

/// An exemplar follows the value as ` # {labels} value`. Label values may hold the same characters, in quotes.
fn without_exemplar(sample: &str) -> &str {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, letter) in sample.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '#' if !is_quoted => return sample[..at].trim_end(),
            _ => {}
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_change_and_samples_stay() {
        let text = "# HELP t_cpu_seconds Time.\n# TYPE t_cpu_seconds counter\n# UNIT t_cpu_seconds seconds\n\
                    t_cpu_seconds_total 1.5\n# HELP t_build Built.\n# TYPE t_build info\nt_build_info{v=\"1 # {\"} 1\n\
                    # HELP t_open Open.\n# TYPE t_open gauge\nt_open 3\n# EOF\n";

        assert_eq!(
            from_openmetrics(text),
            "# HELP t_cpu_seconds_total Time.\n# TYPE t_cpu_seconds_total counter\nt_cpu_seconds_total 1.5\n\
             # HELP t_build_info Built.\n# TYPE t_build_info gauge\nt_build_info{v=\"1 # {\"} 1\n\
             # HELP t_open Open.\n# TYPE t_open gauge\nt_open 3\n"
        );
    }

    #[test]
    fn exemplars_are_left_out() {
        assert_eq!(without_exemplar("t_total{a=\"\\\"#\"} 7 # {id=\"x\"} 1.0"), "t_total{a=\"\\\"#\"} 7");
    }
}
