//! Keeps credentials that an admin adds or removes in `TOKEN_POOL_FILE`. The file is replaced atomically, and only the
//! affected lines change: comments, order, line endings, owner and mode stay.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use parking_lot::{Mutex, MutexGuard};
use secrecy::SecretString;

use crate::{
    admin::{Kept, TokenFile},
    config::{self, Settings},
    engine::provider::Token,
};

/// The credential file, if the settings name one.
pub(super) struct PoolFile {
    path: Option<PathBuf>,
    /// Credentials listed in `TOKEN_POOL` itself.
    listed: HashSet<[u8; 32]>,
    /// Serializes changes.
    turn: Mutex<()>,
}

impl fmt::Debug for PoolFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolFile({:?})", self.path)
    }
}

impl PoolFile {
    pub(super) fn new(settings: &Settings) -> Self {
        let listed = settings.tokens.len().saturating_sub(settings.tokens_of_file);
        let listed = settings.tokens.iter().take(listed);
        Self {
            path: settings.token_pool_file.clone(),
            listed: listed.map(digest).collect(),
            turn: Mutex::default(),
        }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    fn is_listed(&self, token: &Token) -> bool {
        self.listed.contains(&token.digest())
    }
}

fn digest(secret: &SecretString) -> [u8; 32] {
    Token::new(secret.clone()).digest()
}

impl TokenFile for PoolFile {
    fn fault(&self, secret: &str) -> Option<String> {
        config::token_fault(secret)
    }

    fn keep(&self, token: &Token, configured: bool) -> Kept {
        if configured && self.is_listed(token) {
            return Kept::persisted("TOKEN_POOL names this token.");
        }
        let Some(path) = &self.path else {
            return Kept::forgotten("TOKEN_POOL_FILE is not set, so a restart forgets this token.");
        };
        if token.expose().starts_with('#') {
            let note =
                "A line that begins with # is a comment in TOKEN_POOL_FILE, so a restart forgets this token.";
            return Kept::forgotten(note);
        }
        let _turn = self.turn();
        match append(path, token) {
            Ok(()) => Kept::persisted("TOKEN_POOL_FILE holds this token."),
            Err(error) => Kept::forgotten(format!(
                "TOKEN_POOL_FILE cannot be written ({}), so a restart forgets this token.",
                why(&error)
            )),
        }
    }

    fn forget(&self, token: &Token, configured: bool) -> Kept {
        let cut = match &self.path {
            None => Ok(false),
            Some(path) => {
                let _turn = self.turn();
                cut(path, token)
            }
        };
        match cut {
            Err(error) => Kept::forgotten(format!(
                "TOKEN_POOL_FILE cannot be changed ({}), so a restart brings this token back if it is in there.",
                why(&error)
            )),
            // A configured credential that is not in the file is listed in TOKEN_POOL, then or since.
            Ok(held) if configured && (self.is_listed(token) || !held) => Kept::forgotten(
                "TOKEN_POOL names this token, so a restart brings it back. Take it out there too.",
            ),
            Ok(true) => Kept::persisted("TOKEN_POOL_FILE does not hold this token any more."),
            Ok(false) => {
                Kept::persisted("The settings do not name this token, so a restart does not bring it back.")
            }
        }
    }
}

/// Appends a line for the credential, unless there is one.
fn append(path: &Path, token: &Token) -> io::Result<()> {
    let mut text = match config::read_text(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    if text.lines().any(|line| holds(line, token)) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(token.expose());
    text.push('\n');
    if text.len() as u64 > config::LARGEST_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    replace(path, &text)
}

/// Removes every line of the credential; false when there is none.
fn cut(path: &Path, token: &Token) -> io::Result<bool> {
    let text = config::read_text(path)?;
    let kept: String = text
        .split_inclusive('\n')
        .filter(|line| !holds(line, token))
        .collect();
    let held = kept.len() < text.len();
    if held {
        replace(path, &kept)?;
    }
    Ok(held)
}

fn holds(line: &str, token: &Token) -> bool {
    config::secret_of_line(line).is_some_and(|secret| secret == token.expose())
}

/// Replaces a file's text atomically. Symbolic links to it, its owner and its mode stay.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let draft = path.with_file_name(format!(".{}.duogate-new", name.to_string_lossy()));
    let written = write_draft(&draft, &path, text).and_then(|()| fs::rename(&draft, &path));
    if written.is_err() {
        // The draft contains secrets. If removing it fails too, the first error counts.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn write_draft(draft: &Path, original: &Path, text: &str) -> io::Result<()> {
    // A draft left by a killed process is useless, and may have a different mode.
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(draft)?;
    match fs::metadata(original) {
        Ok(rights) => take_over(&file, &rights)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives a file the owner and mode of another.
fn take_over(file: &File, rights: &fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (rights.uid(), rights.gid()) {
            fchown(file, Some(rights.uid()), Some(rights.gid()))?;
        }
    }
    file.set_permissions(rights.permissions())
}

/// The reason of a file error, without a path.
fn why(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.kind().to_string(),
        None => config::why_unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &str) -> Token {
        Token::new(secret.into())
    }

    /// A directory with a credential file, and a `PoolFile` with settings that name it.
    fn pool_file(text: &str, listed: &[&str], of_file: &[&str]) -> (tempfile::TempDir, PathBuf, PoolFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        fs::write(&path, text).unwrap();
        let settings = Settings {
            tokens: listed
                .iter()
                .chain(of_file)
                .map(|&secret| secret.into())
                .collect(),
            tokens_of_file: of_file.len(),
            token_pool_file: Some(path.clone()),
            ..Settings::default()
        };
        (directory, path, PoolFile::new(&settings))
    }

    #[test]
    fn a_token_is_one_more_line_and_nothing_else_changes() {
        for (before, after) in [
            ("", "new\n"),
            ("# mine\r\n\r\n  one  \r\n", "# mine\r\n\r\n  one  \r\nnew\n"),
            ("\u{feff}one", "\u{feff}one\nnew\n"),
            ("one\n new \n", "one\n new \n"),
        ] {
            let (_directory, path, file) = pool_file(before, &[], &["one"]);
            assert!(file.keep(&token("new"), false).persisted);
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn a_token_that_leaves_takes_its_lines_with_it_and_nothing_else() {
        let text = "\u{feff}# one\none\r\n\r\ntwo # no comment\n one\nthree";
        let (_directory, path, file) = pool_file(text, &[], &["one", "three"]);
        assert!(file.forget(&token("one"), true).persisted);
        let left = "\u{feff}# one\n\r\ntwo # no comment\nthree";
        assert_eq!(fs::read_to_string(&path).unwrap(), left);
        assert!(file.forget(&token("three"), true).persisted);
        assert!(file.forget(&token("never-there"), false).persisted);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "\u{feff}# one\n\r\ntwo # no comment\n"
        );
    }

    #[test]
    fn what_token_pool_names_comes_back_and_that_is_said() {
        let (_directory, path, file) = pool_file("two\nthree\n", &["one", "two"], &["three"]);
        for (secret, held) in [("one", "two\nthree\n"), ("two", "three\n")] {
            let kept = file.forget(&token(secret), true);
            assert!(
                !kept.persisted && kept.note.starts_with("TOKEN_POOL names"),
                "{kept:?}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), held);
        }
        assert!(file.keep(&token("one"), true).persisted);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "three\n",
            "there is no need for it"
        );
        let read_later = file.forget(&token("later"), true);
        assert!(
            !read_later.persisted,
            "in the settings since, and not in the file"
        );
    }

    #[test]
    fn what_cannot_be_kept_is_said_and_shown_nowhere() {
        let without = PoolFile::new(&Settings::default());
        let (directory, path, file) = pool_file("one\n", &[], &["one"]);
        let mut notes = vec![without.keep(&token("very-secret"), false)];
        notes.push(file.keep(&token("#very-secret"), false));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        notes.push(file.keep(&token("very-secret"), false));
        notes.push(file.forget(&token("very-secret"), true));
        for kept in notes {
            assert!(!kept.persisted, "{kept:?}");
            assert!(
                !kept.note.contains("very-secret") && !kept.note.contains("tmp"),
                "{kept:?}"
            );
        }
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "no draft stays"
        );
    }

    #[test]
    fn a_file_that_would_be_too_large_to_read_is_left_alone() {
        let full = "a".repeat(usize::try_from(config::LARGEST_FILE).unwrap() - 3);
        let (_directory, path, file) = pool_file(&full, &[], &[]);
        let kept = file.keep(&token("new"), false);
        assert!(!kept.persisted && kept.note.contains("4 MiB"), "{kept:?}");
        assert_eq!(fs::metadata(&path).unwrap().len(), full.len() as u64);
    }

    #[cfg(unix)]
    #[test]
    fn its_rights_and_the_link_to_it_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let (directory, path, _) = pool_file("one\n", &[], &["one"]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = directory.path().join("link");
        symlink("tokens", &link).unwrap();
        let settings = Settings {
            token_pool_file: Some(link.clone()),
            ..Settings::default()
        };
        let file = PoolFile::new(&settings);
        assert!(file.keep(&token("new"), false).persisted);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\nnew\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        fs::remove_file(&path).unwrap();
        fs::remove_file(&link).unwrap();
        assert!(
            file.keep(&token("new"), false).persisted,
            "one that is missing is made"
        );
        assert_eq!(fs::metadata(&link).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
