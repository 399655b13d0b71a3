// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Local files as candidates for the documents of a project: which files, and under which names.
//!
//! `rag/authz.rego` stands for the policy `rag/authz`, `rag/roles.json` (or `.yaml`) for the data
//! `rag/roles`; a file named `data.json` stands for the data of its directory, as in OPA.

use std::fs;
use std::path::{Path, PathBuf};

use super::app::App;
use super::caret;
use super::failure::{Failure, Place};
use super::input;

/// A local file and the name of the document that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The name of the document.
    pub(crate) name: String,
    /// Where the text came from.
    pub(crate) path: PathBuf,
    /// The text.
    pub(crate) text: String,
}

impl Candidate {
    fn read(path: &Path, root: &Path) -> Result<Self, Failure> {
        Ok(Self { name: name(path, root), text: input::text(path)?, path: path.to_owned() })
    }
}

/// What was found below the given paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// The policies, by name.
    pub(crate) policies: Vec<Candidate>,
    /// The data, which only a local run uses; the empty name is the whole of it.
    pub(crate) data: Vec<Candidate>,
}

/// Finds the candidates below files and directories, in a stable order.
///
/// # Errors
/// A failure when a path cannot be read, or when two files stand for the same policy.
pub(crate) fn collect(paths: &[PathBuf]) -> Result<Candidates, Failure> {
    let mut found = Candidates::default();
    for path in paths {
        let root = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new("")) };
        walk(path, root, &mut found)?;
    }
    found.policies.sort_by(|a, b| a.name.cmp(&b.name));
    for (a, b) in found.policies.iter().zip(found.policies.iter().skip(1)) {
        if a.name == b.name {
            let (first, second) = (a.path.display(), b.path.display());
            return Err(Failure::usage(format!(
                "`{first}` and `{second}` both stand for the policy `{}`",
                a.name
            )));
        }
    }
    Ok(found)
}

/// Shows the places of a refusal in the files that they belong to.
pub(crate) fn point(app: &App, failure: Failure, candidates: &Candidates) -> Failure {
    let places = failure.problem().map(|problem| problem.errors.clone()).unwrap_or_default();
    let shown = show(app, &places, candidates);
    if shown == places.len() { failure.without_places() } else { failure }
}

/// Shows those places that lie in local files, and tells how many they are.
pub(crate) fn show(app: &App, places: &[Place], candidates: &Candidates) -> usize {
    let mut shown = 0;
    for candidate in candidates.policies.iter().chain(&candidates.data) {
        let is_own = |place: &&Place| place.path.as_ref() == Some(&candidate.name) && place.line.is_some();
        let own: Vec<Place> = places.iter().filter(is_own).cloned().collect();
        if !own.is_empty() {
            let origin = candidate.path.display().to_string();
            app.out.always(&caret::render(&origin, &candidate.text, &own, app.out.is_styled()));
            shown += own.len();
        }
    }
    shown
}

fn walk(path: &Path, root: &Path, found: &mut Candidates) -> Result<(), Failure> {
    if path.is_dir() {
        for entry in entries(path)? {
            walk(&entry, root, found)?;
        }
        return Ok(());
    }
    let candidate = || Candidate::read(path, root);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("rego") => found.policies.push(candidate()?),
        Some("json" | "yaml" | "yml") => found.data.push(data(candidate()?)),
        // A file that was named must exist, whatever it is.
        _ if !path.exists() => {
            return Err(Failure::error(format!("cannot read `{}`: there is no such file", path.display())));
        }
        _ => {}
    }
    Ok(())
}

fn data(candidate: Candidate) -> Candidate {
    let name = candidate.name.strip_suffix("data").filter(|above| above.is_empty() || above.ends_with('/'));
    match name {
        Some(above) => Candidate { name: above.trim_end_matches('/').to_owned(), ..candidate },
        None => candidate,
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::error(format!("cannot read `{}`: {error}", directory.display()));
    let read = fs::read_dir(directory).map_err(unreadable)?;
    let mut paths = read
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

fn name(path: &Path, root: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path).with_extension("");
    let parts: Vec<_> =
        below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "package a\n").unwrap();
        }
        directory
    }

    #[test]
    fn names_follow_the_directories() {
        let directory = tree(&[
            "rag/authz.rego",
            "rag/authz_test.rego",
            "top.rego",
            "data.json",
            "rag/data.yaml",
            "rag/roles.json",
            ".git/x.rego",
            "README.md",
        ]);
        let found = collect(&[directory.path().to_owned()]).unwrap();
        let names: Vec<_> = found.policies.iter().map(|candidate| candidate.name.as_str()).collect();
        assert_eq!(names, ["rag/authz", "rag/authz_test", "top"]);
        let data: Vec<_> = found.data.iter().map(|candidate| candidate.name.as_str()).collect();
        assert_eq!(data, ["", "rag", "rag/roles"]);
    }

    #[test]
    fn a_single_file_is_named_by_itself() {
        let directory = tree(&["rag/authz.rego"]);
        let found = collect(&[directory.path().join("rag/authz.rego")]).unwrap();
        assert_eq!(found.policies.first().unwrap().name, "authz");
    }

    #[test]
    fn two_files_for_one_policy_and_missing_files_are_refused() {
        let directory = tree(&["a/x.rego", "b/x.rego"]);
        let both = [directory.path().join("a"), directory.path().join("b")];
        assert!(collect(&both).unwrap_err().to_string().contains("`x`"));
        assert!(collect(&[directory.path().join("nope.rego")]).is_err());
    }
}
