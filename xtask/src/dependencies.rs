//! Checks of the dependency tree: licences, bans, duplicates, sources, and who of us may see whom.

use std::collections::BTreeMap;

use spdx::{Expression, LicenseReq};

use crate::Finding;
use crate::deny::{Bans, Licenses, Named, Sources};
use crate::rules::Rules;
use crate::tree::{Lockfile, PackageId, Tree};

/// Each package's licence expression has to be satisfied by allowed licences alone.
pub(crate) fn check_licences(rules: &Licenses, tree: &Tree, findings: &mut Vec<Finding>) {
    for (id, package) in &tree.packages {
        // Packages from before SPDX wrote "MIT/Apache-2.0" and meant OR.
        let declared = package.licence.replace('/', " OR ");
        let allowed = match Expression::parse(&declared) {
            Ok(expression) => expression.evaluate(|licence| is_allowed(rules, licence)),
            Err(_) => false,
        };
        if !allowed {
            findings.push(format!("{id}: the licence `{}` is not allowed by deny.toml", package.licence));
        }
    }
}

fn is_allowed(rules: &Licenses, licence: &LicenseReq) -> bool {
    // An exception ("WITH …") only ever allows more.
    licence.license.id().is_some_and(|id| rules.allow.iter().any(|allowed| allowed == id.name))
}

pub(crate) fn check_bans(rules: &Bans, tree: &Tree, findings: &mut Vec<Finding>) {
    for id in tree.packages.keys() {
        for ban in rules.deny.iter().filter(|ban| ban.matches(&id.name, &id.version)) {
            let parents: Vec<_> = parents(tree, id).map(ToString::to_string).collect();
            findings.push(format!("{id} is banned ({}); it is needed by {}", ban.reason, parents.join(", ")));
        }
    }
}

/// Two versions of one package are two times the code, and types that do not fit together.
pub(crate) fn check_duplicates(rules: &Bans, tree: &Tree, findings: &mut Vec<Finding>) {
    let mut versions: BTreeMap<&str, Vec<&PackageId>> = BTreeMap::new();
    for id in tree.packages.keys() {
        versions.entry(&id.name).or_default().push(id);
    }
    let mut skipped = Vec::new();
    for same in versions.into_values().filter(|same| same.len() > 1) {
        let skip_of = |id: &PackageId| rules.skip.iter().find(|skip| skip.matches(&id.name, &id.version));
        skipped.extend(same.iter().filter_map(|id| skip_of(id)).map(Named::spec));
        let unskipped: Vec<_> =
            same.iter().filter(|id| skip_of(id).is_none()).map(ToString::to_string).collect();
        if unskipped.len() > 1 {
            findings.push(format!("several versions of one package: {}", unskipped.join(", ")));
        }
    }
    for skip in rules.skip.iter().filter(|skip| !skipped.contains(&skip.spec())) {
        findings.push(format!(
            "deny.toml skips {}, of which there is only one version: drop that line",
            skip.spec()
        ));
    }
}

pub(crate) fn check_sources(rules: &Sources, lockfile: &Lockfile, findings: &mut Vec<Finding>) {
    for package in &lockfile.package {
        let Some(source) = &package.source else { continue };
        let registry = source.strip_prefix("registry+").unwrap_or(source);
        if !rules.allow_registry.iter().any(|allowed| allowed == registry) {
            findings.push(format!("{} comes from {source}, which deny.toml does not allow", package.name));
        }
    }
}

pub(crate) fn check_direction(rules: &Rules, linked: &Tree, findings: &mut Vec<Finding>) {
    let ours = || linked.packages.iter().filter(|(_, package)| package.ours);
    for name in rules.direction.keys().chain(rules.must_not_see.keys()) {
        if !ours().any(|(id, _)| id.name == *name) {
            findings.push(format!("tidy.toml has rules for {name}, which does not exist"));
        }
    }
    for (id, package) in ours() {
        let may_see = rules.direction.get(&id.name).map_or(&[][..], Vec::as_slice);
        for seen in package.dependencies.iter().filter(|seen| ours().any(|(ours, _)| ours == *seen)) {
            if rules.dev_only.packages.contains(&seen.name) {
                findings.push(format!("{id} depends on {seen}, which is for dev-dependencies only"));
            } else if !may_see.contains(&seen.name) {
                findings
                    .push(format!("{id} depends on {seen}, which is not among what tidy.toml lets it see"));
            }
        }
    }
}

pub(crate) fn check_must_not_see(rules: &Rules, linked: &Tree, findings: &mut Vec<Finding>) {
    for id in linked.packages.keys() {
        let Some(hidden) = rules.must_not_see.get(&id.name) else { continue };
        for (seen, through) in linked.below(id) {
            if hidden.contains(&seen.name) {
                findings.push(format!("{id} must not see {seen}, which comes in through {through}"));
            }
        }
    }
}

fn parents<'t>(tree: &'t Tree, of: &PackageId) -> impl Iterator<Item = &'t PackageId> {
    tree.packages.iter().filter(move |(_, package)| package.dependencies.contains(of)).map(|(id, _)| id)
}

impl std::fmt::Display for PackageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::{OUTPUT, tree};

    fn findings(check: impl FnOnce(&mut Vec<Finding>)) -> Vec<Finding> {
        let mut findings = Vec::new();
        check(&mut findings);
        findings
    }

    fn licenses(allow: &str) -> Licenses {
        toml::from_str(&format!("confidence-threshold = 0.9\nallow = [{allow}]")).unwrap()
    }

    fn bans(deny: &str, skip: &str) -> Bans {
        let levels = "multiple-versions = \"deny\"\nwildcards = \"deny\"\nallow-wildcard-paths = true";
        toml::from_str(&format!("{levels}\ndeny = [{deny}]\nskip = [{skip}]")).unwrap()
    }

    fn rules(direction: &str, must_not_see: &str) -> Rules {
        toml::from_str(&format!(
            "dev-only.packages = [\"kit\"]\nfiles = {{ rust-lines-max = 1, longer = {{}} }}\n\
             [direction]\n{direction}\n[must-not-see]\n{must_not_see}"
        ))
        .unwrap()
    }

    #[test]
    fn a_licence_that_is_not_listed_is_found_and_one_alternative_is_enough() {
        let tree = tree();

        assert!(findings(|found| check_licences(&licenses("'MIT', 'Apache-2.0'"), &tree, found)).is_empty());
        let found = findings(|found| check_licences(&licenses("'Apache-2.0'"), &tree, found));
        assert_eq!(found, ["left 1.2.3: the licence `MIT` is not allowed by deny.toml"]);
    }

    #[test]
    fn a_banned_package_is_found_with_who_needs_it() {
        let bans = bans("{ crate = 'deep', reason = 'no' }", "");

        let found = findings(|found| check_bans(&bans, &tree(), found));
        assert_eq!(found, ["deep 0.2.0 is banned (no); it is needed by left 1.2.3"]);
    }

    #[test]
    fn two_versions_need_a_skip_and_a_skip_needs_two_versions() {
        let two = crate::tree::tests::tree_of(&format!("{OUTPUT}0\tdeep v0.3.0\tMIT\n"));
        let skip = "{ crate = 'deep@0.2', reason = 'old' }";

        assert_eq!(findings(|found| check_duplicates(&bans("", ""), &two, found)).len(), 1);
        assert!(findings(|found| check_duplicates(&bans("", skip), &two, found)).is_empty());
        assert_eq!(findings(|found| check_duplicates(&bans("", skip), &tree(), found)).len(), 1);
    }

    #[test]
    fn a_source_that_is_not_listed_is_found() {
        let lockfile: Lockfile = toml::from_str(
            "[[package]]\nname = 'ours'\n[[package]]\nname = 'a'\nsource = 'registry+https://one'\n\
             [[package]]\nname = 'b'\nsource = 'git+https://two'",
        )
        .unwrap();
        let sources: Sources = toml::from_str(
            "unknown-registry = 'deny'\nunknown-git = 'deny'\nallow-registry = ['https://one']",
        )
        .unwrap();

        let found = findings(|found| check_sources(&sources, &lockfile, found));
        assert_eq!(found, ["b comes from git+https://two, which deny.toml does not allow"]);
    }

    #[test]
    fn our_own_packages_see_only_what_they_may() {
        let tree = tree();

        let allowed = rules("ours-a = ['ours-b']", "");
        assert!(findings(|found| check_direction(&allowed, &tree, found)).is_empty());
        assert_eq!(findings(|found| check_direction(&rules("", ""), &tree, found)).len(), 1);
        let stale = rules("ours-a = ['ours-b']\ngone = []", "");
        assert_eq!(findings(|found| check_direction(&stale, &tree, found)).len(), 1);
    }

    #[test]
    fn what_must_not_be_seen_is_found_at_any_depth() {
        let found = findings(|found| check_must_not_see(&rules("", "ours-a = ['deep']"), &tree(), found));

        assert_eq!(found, ["ours-a 0.1.0 must not see deep 0.2.0, which comes in through left 1.2.3"]);
    }
}
