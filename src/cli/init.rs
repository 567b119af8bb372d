//! Writes a first `.env`: the example with a new key in place of the example's key.

use crate::config::EXAMPLE_KEY;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use uuid::Uuid;

const TEMPLATE: &str = include_str!("../../.env.example");

/// Writes a `.env` with a new key and returns the key: `sk-duogate-` and 64 hexadecimal digits from the operating
/// system's random source. Only the owner may read the file (on Unix).
///
/// # Errors
/// `AlreadyExists` when anything exists at `path`, which is never overwritten. Otherwise the file system's error; a
/// file that could not be written completely is removed.
pub fn write_env(path: &Path) -> io::Result<String> {
    let key = format!(
        "sk-duogate-{}{}",
        Uuid::new_v4().simple(),
        Uuid::new_v4().simple()
    );
    let mut file = create(path)?;
    let written = file
        .write_all(TEMPLATE.replace(EXAMPLE_KEY, &key).as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // A partial file would load with part of its settings. If removing it fails too, the first error counts.
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(key)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn the_written_file_loads_and_holds_the_returned_key_alone() {
        use secrecy::ExposeSecret;
        let directory = tempfile::tempdir().unwrap();
        let key = write_env(&directory.path().join(".env")).unwrap();
        let loaded = load(&Sources {
            directory: directory.path().into(),
            ..Sources::default()
        })
        .unwrap();
        let keys: Vec<_> = loaded
            .settings
            .api_keys
            .iter()
            .map(|key| key.expose_secret().to_owned())
            .collect();
        assert_eq!(keys, std::slice::from_ref(&key));
        let digits = key.strip_prefix("sk-duogate-").unwrap();
        assert!(digits.len() >= 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(
            !loaded.warnings.iter().any(|warning| warning.contains("example")),
            "{:?}",
            loaded.warnings
        );
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        fs::write(&path, "PORT=1\n").unwrap();
        assert_eq!(write_env(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "PORT=1\n");
    }

    #[test]
    fn two_files_never_get_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let first = write_env(&directory.path().join("first")).unwrap();
        let second = write_env(&directory.path().join("second")).unwrap();
        assert_ne!(first, second);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        write_env(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
