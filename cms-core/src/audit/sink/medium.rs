// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The file under the file sink: appended to under a lock, since several processes may share it;
//! opened anew when somebody has moved or removed it; cut back to the last whole line when a write
//! stops short.
//!
//! Each new file begins with a start line that says where every chain stood, so that what is missing
//! at its beginning is seen. For that, the ends of the chains in the file are kept up to date, also
//! with what other processes append.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::ecs::FIRST_CHECK;
use super::file::FileSync;
use super::{SinkLine, Starter, ecs};
use crate::api::audit::Link;

/// How far from the end the last line is looked for, in bytes.
const MAX_LINE: u64 = 1024 * 1024;
/// How often a file is opened anew because it was moved away meanwhile.
const MAX_MOVES: usize = 8;

/// The file and what is known of it.
#[derive(Debug)]
pub(super) struct Medium {
    path: PathBuf,
    sync: FileSync,
    open: Option<Opened>,
    starter: Option<Starter>,
    /// Where every chain stands, as the lines of this and earlier files say.
    ends: BTreeMap<String, Link>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    /// Pipes and devices are written to and nothing else.
    regular: bool,
    identity: (u64, u64),
    /// Up to where the lines are known.
    known: u64,
    /// The check of the last of these lines.
    check: [u8; 32],
    /// What the medium holds is uncertain after a failure: it must be looked at afresh.
    uncertain: bool,
}

impl Medium {
    pub(super) fn new(path: PathBuf, sync: FileSync) -> Self {
        Self { path, sync, open: None, starter: None, ends: BTreeMap::new(), buffer: Vec::new() }
    }

    /// Takes what start lines are made with. What a crash left in the file beyond these ends never came
    /// about.
    pub(super) fn begin(&mut self, starter: Starter) {
        self.ends.clone_from(starter.heads());
        self.starter = Some(starter);
    }

    /// Opens the file, if it is not open.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(open(&self.path)?);
        }
        Ok(())
    }

    /// Opens the file anew.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.learn()?;
        self.open = None;
        self.open()
    }

    /// Appends all lines or none.
    pub(super) fn append<'l>(&mut self, lines: impl Iterator<Item = &'l SinkLine> + Clone) -> io::Result<()> {
        let appended = self.locked(|medium| medium.append_locked(lines));
        if self.open.as_ref().is_some_and(|opened| opened.uncertain) {
            self.open = None;
        }
        appended
    }

    fn append_locked<'l>(&mut self, lines: impl Iterator<Item = &'l SinkLine> + Clone) -> io::Result<()> {
        self.learn()?;
        let Some(opened) = &mut self.open else { return Err(io::ErrorKind::NotConnected.into()) };
        self.buffer.clear();
        let mut check = opened.check;
        if opened.regular
            && opened.known == 0
            && let Some(start) = self.starter.as_ref().and_then(|starter| starter.line(&self.ends))
        {
            ecs::write(&start, &mut check, &mut self.buffer)?;
        }
        for line in lines.clone() {
            ecs::write(line, &mut check, &mut self.buffer)?;
        }
        opened.write_whole(&self.buffer, self.sync)?;
        opened.check = check;
        lines.for_each(|line| line.advance(&mut self.ends));
        Ok(())
    }

    /// Runs `act` while no other process writes, on the file that stands at the path now.
    fn locked<T>(&mut self, act: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        for _ in 0..MAX_MOVES {
            self.open()?;
            let Some(opened) = &self.open else { continue };
            if !opened.regular {
                return act(self);
            }
            // A second handle on the same open file: the lock goes with the first one dropped after it.
            let lock = opened.file.try_clone()?;
            lock.lock()?;
            let in_place = std::fs::metadata(&self.path).is_ok_and(|now| identity(&now) == opened.identity);
            if in_place {
                let result = act(self);
                lock.unlock()?;
                return result;
            }
            // Moved or removed: what others have appended is learnt before the lock is let go.
            let learnt = self.learn();
            lock.unlock()?;
            self.open = None;
            learnt?;
        }
        Err(io::Error::other("the file is moved away again and again"))
    }

    /// Reads what other processes have appended since, and cuts off a line that one of them did not
    /// finish: it was never acknowledged.
    fn learn(&mut self) -> io::Result<()> {
        let Some(opened) = self.open.as_mut().filter(|opened| opened.regular) else { return Ok(()) };
        let length = opened.file.metadata()?.len();
        if length == opened.known {
            return Ok(());
        }
        if length < opened.known {
            // Emptied in place by a rotation that copies, or cut: a verification tells which.
            (opened.known, opened.check) = last_line(&mut opened.file, length)?;
            return Ok(());
        }
        opened.file.seek(SeekFrom::Start(opened.known))?;
        let mut lines = io::BufReader::new(&opened.file).take(length - opened.known);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::BufRead::read_until(&mut lines, b'\n', &mut line)?;
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    // What cannot be read is for the verification to name.
                    if let Some(read) = ecs::read(text, &opened.check) {
                        read.line.advance(&mut self.ends);
                        opened.check = read.check;
                    }
                    opened.known += read as u64;
                }
                None if read == 0 => return Ok(()),
                None => {
                    tracing::warn!(path = %self.path.display(), "cutting off an unfinished line");
                    return opened.file.set_len(opened.known);
                }
            }
        }
    }
}

impl Opened {
    /// Writes everything in one call; cuts off what was written if it was not everything.
    fn write_whole(&mut self, bytes: &[u8], sync: FileSync) -> io::Result<()> {
        if !self.regular {
            return self.file.write_all(bytes);
        }
        let written = loop {
            match self.file.write(bytes) {
                Ok(written) if written == bytes.len() => break Ok(()),
                Ok(_) => {
                    break Err(io::Error::new(io::ErrorKind::StorageFull, "the file takes no whole line"));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let kept = written.and_then(|()| match sync {
            FileSync::Always => self.file.sync_data(),
            FileSync::Never => Ok(()),
        });
        match kept {
            Ok(()) => {
                self.known += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // After a failed fsync nobody knows what the medium holds.
                let cut = self.file.set_len(self.known);
                self.uncertain = sync == FileSync::Always || cut.is_err();
                Err(error)
            }
        }
    }
}

fn open(path: &PathBuf) -> io::Result<Opened> {
    // Read access is for learning what others append; a pipe or device may not grant it.
    let options = |read| {
        let mut options = OpenOptions::new();
        options.read(read).append(true).create(true).mode(0o600);
        options
    };
    let special = std::fs::metadata(path).is_ok_and(|found| {
        let kind = found.file_type();
        kind.is_fifo() || kind.is_char_device() || kind.is_socket()
    });
    let mut file = options(!special).open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let (mut known, mut check) = (0, FIRST_CHECK);
    if found.is_file() {
        file.lock()?;
        let length = file.metadata()?.len();
        (known, check) = last_line(&mut file, length)?;
        if known < length {
            tracing::warn!(path = %path.display(), "cutting off an unfinished line");
            file.set_len(known)?;
        }
        file.unlock()?;
    }
    Ok(Opened { regular: found.is_file(), identity: identity(&found), known, check, uncertain: false, file })
}

/// Where the last whole line ends, and its check.
fn last_line(file: &mut File, length: u64) -> io::Result<(u64, [u8; 32])> {
    let start = length.saturating_sub(MAX_LINE);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(length - start).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else { return Ok((0, FIRST_CHECK)) };
    let line = tail.get(..end).and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
    let check = line.and_then(ecs::check_of).unwrap_or(FIRST_CHECK);
    Ok((start + end as u64 + 1, check))
}

fn identity(found: &std::fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
