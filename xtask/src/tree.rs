//! The dependency tree as it is built: from `cargo tree`, since `cargo metadata` lists optional packages that no feature turns on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::Failure;

/// Which dependencies to follow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edges {
    /// What ends up in, or builds, a product.
    NormalAndBuild,
    /// Those of tests too.
    All,
}

/// Packages and what each depends on directly.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) packages: BTreeMap<PackageId, Package>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PackageId {
    pub(crate) name: String,
    pub(crate) version: String,
}

#[derive(Debug, Default)]
pub(crate) struct Package {
    /// As declared: an SPDX expression, or older forms of one.
    pub(crate) licence: String,
    /// Part of this workspace.
    pub(crate) ours: bool,
    pub(crate) dependencies: BTreeSet<PackageId>,
}

/// Where every package comes from.
#[derive(Debug, Deserialize)]
pub(crate) struct Lockfile {
    pub(crate) package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Locked {
    pub(crate) name: String,
    /// Absent for packages of this workspace.
    pub(crate) source: Option<String>,
}

impl Lockfile {
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        crate::read_toml(path)
    }
}

impl Tree {
    pub(crate) fn load(root: &Path, edges: Edges) -> Result<Self, Failure> {
        let edges = match edges {
            Edges::NormalAndBuild => "normal,build",
            Edges::All => "normal,build,dev",
        };
        let arguments =
            ["tree", "--workspace", "--all-features", "--locked", "--edges", edges, "--prefix", "depth"];
        let output = run(root, &[&arguments[..], &["--format", "\t{p}\t{l}"]].concat())?;
        Self::parse(&output).map_err(|message| Failure::Command { command: "cargo tree".to_owned(), message })
    }

    /// Reads lines of depth, package and licence. A package's dependencies are listed the first time it occurs.
    fn parse(output: &str) -> Result<Self, String> {
        let mut tree = Self::default();
        // The packages above the current line, from the root.
        let mut path: Vec<PackageId> = Vec::new();
        for line in output.lines().filter(|line| !line.is_empty()) {
            let (depth, id, package) =
                parse_line(line).ok_or_else(|| format!("cannot read the line {line:?}"))?;
            path.truncate(depth);
            if let Some(parent) = path.last().and_then(|parent| tree.packages.get_mut(parent)) {
                parent.dependencies.insert(id.clone());
            }
            tree.packages.entry(id.clone()).or_insert(package);
            path.push(id);
        }
        Ok(tree)
    }

    /// Everything that `from` depends on, directly or not; each with the one that brought it in.
    pub(crate) fn below<'t>(&'t self, from: &'t PackageId) -> BTreeMap<&'t PackageId, &'t PackageId> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![from];
        while let Some(parent) = waiting.pop() {
            for dependency in
                self.packages.get(parent).map(|package| &package.dependencies).into_iter().flatten()
            {
                if !found.contains_key(dependency) {
                    found.insert(dependency, parent);
                    waiting.push(dependency);
                }
            }
        }
        found
    }
}

/// `2<tab>http v1.5.0 (proc-macro)<tab>MIT (*)`.
fn parse_line(line: &str) -> Option<(usize, PackageId, Package)> {
    let mut parts = line.split('\t');
    let (depth, package, licence) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    let mut words = package.split(' ');
    let (name, version) = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
    let ours = words.any(|word| word.starts_with("(/"));
    let licence = licence.trim_end_matches("(*)").trim_end().to_owned();
    Some((depth, PackageId { name, version }, Package { licence, ours, dependencies: BTreeSet::new() }))
}

fn run(root: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let failure = |message| Failure::Command { command: format!("cargo {}", arguments.join(" ")), message };
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| failure(error.to_string()))?;
    if !output.status.success() {
        return Err(failure(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    String::from_utf8(output.stdout).map_err(|error| failure(error.to_string()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two packages of ours over three of others, one of which occurs twice.
    pub(crate) const OUTPUT: &str = "0\tours-a v0.1.0 (/src/a)\tApache-2.0\n\
        1\tours-b v0.1.0 (/src/b)\tApache-2.0\n\
        2\tleft v1.2.3\tMIT\n\
        3\tdeep v0.2.0 (proc-macro)\tMIT OR Apache-2.0\n\
        1\tleft v1.2.3\tMIT (*)\n\
        \n\
        0\tours-b v0.1.0 (/src/b)\tApache-2.0 (*)\n";

    pub(crate) fn tree() -> Tree {
        tree_of(OUTPUT)
    }

    pub(crate) fn tree_of(output: &str) -> Tree {
        Tree::parse(output).unwrap()
    }

    pub(crate) fn id(name: &str, version: &str) -> PackageId {
        PackageId { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn a_tree_is_read_with_its_edges_and_licences() {
        let tree = tree();

        assert_eq!(tree.packages.len(), 4);
        let ours = &tree.packages[&id("ours-a", "0.1.0")];
        assert_eq!(ours.dependencies, BTreeSet::from([id("left", "1.2.3"), id("ours-b", "0.1.0")]));
        assert!(ours.ours && !tree.packages[&id("left", "1.2.3")].ours);
        assert_eq!(tree.packages[&id("deep", "0.2.0")].licence, "MIT OR Apache-2.0");
    }

    #[test]
    fn what_is_below_a_package_is_found_with_the_one_that_brought_it_in() {
        let tree = tree();
        let (from, deep, left) = (id("ours-b", "0.1.0"), id("deep", "0.2.0"), id("left", "1.2.3"));

        let below = tree.below(&from);

        assert_eq!(below, BTreeMap::from([(&deep, &left), (&left, &from)]));
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error_and_not_skipped() {
        assert!(Tree::parse("0\tours\n").is_err());
    }
}
