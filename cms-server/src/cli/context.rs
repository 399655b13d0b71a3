// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Contexts: which servers the user knows and how to log in to each, in one private file.
//!
//! The file is replaced as a whole (write aside, sync, rename) while a lock is held, so that
//! concurrent commands neither lose each other's changes nor use a single-use refresh token twice.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::Failure;

/// One server and the credentials for it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Context {
    /// The address of the server.
    pub(crate) addr: String,
    /// Who logged in, to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// The project that commands use when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// The environment that commands use when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<String>,
    /// The authority that signed the server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// An access token, an API key or a root token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// The single-use token that brings the next access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("addr", &self.addr).field("user", &self.user).finish_non_exhaustive()
    }
}

/// All contexts and which of them is current.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Contexts {
    /// The context that commands use when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// The contexts by name.
    pub(crate) contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Finds a context by name.
    ///
    /// # Errors
    /// A usage error that lists the names that exist.
    pub(crate) fn named(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| self.unknown(name))
    }

    /// Finds a context by name in order to change it.
    ///
    /// # Errors
    /// A usage error that lists the names that exist.
    pub(crate) fn named_mut(&mut self, name: &str) -> Result<&mut Context, Failure> {
        let unknown = self.unknown(name);
        self.contexts.get_mut(name).ok_or(unknown)
    }

    fn unknown(&self, name: &str) -> Failure {
        let known: Vec<&str> = self.contexts.keys().map(String::as_str).collect();
        let failure = Failure::usage(format!("there is no context `{name}`"));
        match known.is_empty() {
            true => failure.hint("`cms login --addr URL` makes one"),
            false => failure.hint(format!("there are: {}", known.join(", "))),
        }
    }
}

/// The file that keeps the contexts.
#[derive(Clone, Debug)]
pub(crate) struct ContextFile {
    path: PathBuf,
}

impl ContextFile {
    /// Names the user's own file: `$XDG_CONFIG_HOME/cms/contexts.toml`, or below `~/.config`.
    ///
    /// # Errors
    /// A failure when neither `XDG_CONFIG_HOME` nor `HOME` is set.
    pub(crate) fn of_user() -> Result<Self, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let base = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
        let base = base.ok_or_else(|| {
            Failure::usage("neither HOME nor XDG_CONFIG_HOME is set, so there are no contexts")
                .hint("set CMS_ADDR and CMS_TOKEN")
        })?;
        Ok(Self::at(base.join("cms").join("contexts.toml")))
    }

    /// Names a file.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the contexts; a missing file means none.
    ///
    /// # Errors
    /// A failure when the file cannot be read or understood.
    pub(crate) fn load(&self) -> Result<Contexts, Failure> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Contexts::default()),
            Err(error) => return Err(self.failure("read", &error)),
        };
        // The parser's own message quotes the line, which may hold a token.
        toml::from_str(&text).map_err(|error| self.failure("understand", &error.message()))
    }

    /// Applies a change under the lock and stores the result.
    ///
    /// # Errors
    /// What `change` returns, or a failure to read or write; then the file is as it was.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Contexts) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let held = self.lock()?;
        let mut contexts = self.load()?;
        let made = change(&mut contexts)?;
        held.save(&contexts)?;
        Ok(made)
    }

    /// Waits for the lock that every change needs.
    ///
    /// # Errors
    /// A failure when the directory cannot be made or written.
    pub(crate) fn lock(&self) -> Result<Locked<'_>, Failure> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        private_directory(directory).map_err(|error| self.failure("store", &error))?;
        let lock = private_file(OpenOptions::new().write(true).create(true).truncate(false))
            .open(self.path.with_extension("lock"))
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| self.failure("lock", &error))?;
        Ok(Locked { file: self, _lock: lock })
    }

    /// Tells whether other users of the machine can read the tokens in the file.
    pub(crate) fn is_exposed(&self) -> bool {
        exposed(&self.path)
    }

    /// Gives the path, to be shown.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failure(&self, verb: &str, error: &dyn std::fmt::Display) -> Failure {
        Failure::error(format!("cannot {verb} the contexts in `{}`: {error}", self.path.display()))
    }
}

/// Proof that this process alone may replace the file; dropped, it lets the next one in.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    file: &'a ContextFile,
    _lock: File,
}

impl Locked<'_> {
    /// Replaces the file: all of the new content or all of the old.
    ///
    /// # Errors
    /// A failure to write; then the file is as it was.
    pub(crate) fn save(&self, contexts: &Contexts) -> Result<(), Failure> {
        let text = toml::to_string_pretty(contexts).map_err(|error| self.file.failure("write", &error))?;
        self.replace(text.as_bytes()).map_err(|error| self.file.failure("store", &error))
    }

    fn replace(&self, bytes: &[u8]) -> std::io::Result<()> {
        // A link to a file elsewhere stays a link.
        let target = fs::canonicalize(&self.file.path).unwrap_or_else(|_absent| self.file.path.clone());
        let aside = target.with_extension(format!("{}.tmp", std::process::id()));
        let written = private_file(OpenOptions::new().write(true).create(true).truncate(true))
            .open(&aside)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&aside, &target));
        if written.is_err() {
            let _gone = fs::remove_file(&aside);
        }
        written
    }
}

#[cfg(unix)]
fn private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(unix)]
fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(unix)]
fn exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn private_directory(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(not(unix))]
fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
fn exposed(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &tempfile::TempDir) -> ContextFile {
        ContextFile::at(directory.path().join("cms").join("contexts.toml"))
    }

    fn add(file: &ContextFile, name: &str) {
        let context =
            Context { addr: "http://127.0.0.1:1".into(), token: Some("t0ken".into()), ..Context::default() };
        file.change(|all| {
            all.contexts.insert(name.to_owned(), context);
            all.current = Some(name.to_owned());
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn contexts_survive_the_way_through_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory);
        assert_eq!(file.load().unwrap(), Contexts::default(), "a missing file is no error");
        add(&file, "dev");
        add(&file, "127.0.0.1:8200");
        let all = file.load().unwrap();
        assert_eq!(all.current.as_deref(), Some("127.0.0.1:8200"));
        assert_eq!(all.named("dev").unwrap().token.as_deref(), Some("t0ken"));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_tokens() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory);
        add(&file, "dev");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file.path), 0o600);
        assert_eq!(mode(file.path.parent().unwrap()), 0o700);
        assert!(!file.is_exposed());
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(file.is_exposed());
        add(&file, "other");
        assert!(!file.is_exposed(), "the next change closes it again");
    }

    #[test]
    fn a_failed_change_leaves_the_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory);
        add(&file, "dev");
        let failed: Result<(), _> = file.change(|all| {
            all.contexts.clear();
            Err(Failure::error("no"))
        });
        assert!(failed.is_err());
        assert_eq!(file.load().unwrap().contexts.len(), 1);
        let left: Vec<_> =
            fs::read_dir(file.path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().ends_with("tmp")), "{left:?}");
    }

    #[test]
    fn concurrent_changes_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                scope.spawn(move || add(file, &format!("c{number}")));
            }
        });
        assert_eq!(file.load().unwrap().contexts.len(), 8);
    }

    #[test]
    fn a_broken_file_is_reported_without_its_tokens() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory);
        add(&file, "dev");
        fs::write(&file.path, "[contexts.dev]\naddr = \"x\"\ntoken = \"hunter2\n").unwrap();
        let words = file.load().unwrap_err().to_string();
        assert!(words.contains("contexts.toml") && !words.contains("hunter2"), "{words}");
        let shown = format!("{:?}", Context { token: Some("hunter2".into()), ..Context::default() });
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn an_unknown_context_lists_the_known() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(&directory);
        add(&file, "dev");
        let words = file.load().unwrap().named("prod").unwrap_err().to_string();
        assert!(words.contains("`prod`") && words.contains("dev"), "{words}");
    }
}
