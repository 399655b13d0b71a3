// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Saves a long answer as it arrives: to standard output, or to a file that appears only when whole.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use reqwest::Response;

use super::app::App;
use super::client::{Call, Client};
use super::failure::Failure;

/// Sends a call and saves the answer; `what` names it in words.
///
/// # Errors
/// The server's refusal, an answer that breaks off, or a file that cannot be written.
pub(crate) async fn download(
    app: &App,
    client: &Client,
    call: Call,
    file: Option<&Path>,
    what: &str,
) -> Result<(), Failure> {
    let response = client.stream(call).await?;
    let Some(path) = file else {
        return pump(app, client, response, what, |bytes| app.out.bytes(bytes)).await;
    };
    let mut aside = Aside::create(path)?;
    pump(app, client, response, what, |bytes| aside.write(bytes)).await?;
    aside.finish()?;
    app.out.say(&format!("wrote the {what} to `{}`", path.display()));
    Ok(())
}

async fn pump(
    app: &App,
    client: &Client,
    mut response: Response,
    what: &str,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let progress = app.out.progress(what);
    while let Some(chunk) = response.chunk().await.map_err(|error| client.broken(&error))? {
        write(&chunk)?;
        progress.inc(chunk.len() as u64);
    }
    progress.finish_and_clear();
    Ok(())
}

/// A file beside the wanted one; dropped before it is whole, it goes away.
struct Aside {
    wanted: PathBuf,
    path: PathBuf,
    file: File,
}

impl Aside {
    fn create(wanted: &Path) -> Result<Self, Failure> {
        let mut name = wanted.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let file = File::create(&path).map_err(|error| unwritable(wanted, &error))?;
        Ok(Self { wanted: wanted.to_owned(), path, file })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| unwritable(&self.wanted, &error))
    }

    fn finish(self) -> Result<(), Failure> {
        let whole = self.file.sync_all().and_then(|()| fs::rename(&self.path, &self.wanted));
        whole.map_err(|error| unwritable(&self.wanted, &error))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // After a successful rename there is nothing left to remove.
        let _gone = fs::remove_file(&self.path);
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::error(format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_whole() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = directory.path().join("export.jsonl");
        let mut broken = Aside::create(&wanted).unwrap();
        broken.write(b"half").unwrap();
        drop(broken);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let mut whole = Aside::create(&wanted).unwrap();
        whole.write(b"all").unwrap();
        whole.finish().unwrap();
        assert_eq!(fs::read(&wanted).unwrap(), b"all");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
