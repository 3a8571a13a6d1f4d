//! "Did you mean": the known name that a mistyped one is closest to.

/// Names less alike than this are no typing mistake. Between 0 (nothing in common) and 1 (the same).
const ALIKE_MIN: f64 = 0.6;

/// The candidate most like `name`, if any is close.
pub(crate) fn closest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// The known dotted key that an unknown one was probably meant to be.
///
/// Asked in this order: the same name in another section (`message_bytes` for `limits.message_bytes`), a section mark
/// lost (`client_listen`), a typing mistake among the neighbours, a typing mistake anywhere.
pub(super) fn key<'k>(unknown: &str, known: &'k [String]) -> Option<&'k str> {
    let all = || known.iter().map(String::as_str);
    let (section, name) = split(unknown);
    let spelled = |key: &&str| key.replace('.', "_") == unknown.replace('.', "_");
    let neighbours = all().filter(|key| split(key).0 == section).map(|key| split(key).1);

    all()
        .find(spelled)
        .or_else(|| all().find(|key| split(key).1 == name))
        .or_else(|| {
            let neighbour = closest(name, neighbours)?;
            all().find(|key| split(key) == (section, neighbour))
        })
        .or_else(|| closest(unknown, all()))
}

fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_mistake_leads_to_the_key_that_was_meant() {
        let known =
            ["client", "client.listen", "limits", "limits.message_bytes", "admin.listen"].map(str::to_owned);

        assert_eq!(key("client.lisen", &known), Some("client.listen"));
        assert_eq!(key("client_listen", &known), Some("client.listen"));
        assert_eq!(key("client.message_bytes", &known), Some("limits.message_bytes"));
        assert_eq!(key("clent", &known), Some("client"));
        assert_eq!(key("limit.mesage_bytes", &known), Some("limits.message_bytes"));
        assert_eq!(key("unrelated", &known), None);
    }
}
