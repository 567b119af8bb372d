//! Files that change while the process runs.

use super::{Setup, exposed};
use crate::config::{Settings, Watch, differences};
use std::fs;
use std::path::Path;

/// A watch that has loaded its settings and has no pending change.
fn settled(setup: &Setup) -> Watch {
    let mut watch = Watch::new(setup.sources.clone());
    watch.load().unwrap_or_else(|problems| panic!("{problems}"));
    assert!(watch.look().is_none() && watch.look().is_none());
    watch
}

/// Looks until a change has settled, and returns the keys after it.
fn keys_after_change(watch: &mut Watch) -> Vec<String> {
    assert!(
        watch.look().is_none(),
        "a change is taken only once it has settled"
    );
    let loaded = watch.look().expect("the change is seen");
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    assert!(watch.look().is_none() && watch.look().is_none(), "once is enough");
    exposed(&loaded.settings.api_keys)
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn write(setup: &Setup, name: &str, text: &str) {
    fs::write(setup.directory.path().join(name), text).unwrap();
}

#[test]
fn files_that_do_not_change_are_not_read_again() {
    let setup = Setup::new()
        .dotenv("API_KEYS=[\"a\"]\nAPI_KEYS_FILE=keys\n")
        .file("keys", "b\n");
    let mut watch = settled(&setup);
    for _ in 0..5 {
        assert!(watch.look().is_none());
    }
    write(&setup, "keys", "b\n");
    for _ in 0..3 {
        assert!(watch.look().is_none(), "written again, the same as before");
    }
}

#[test]
fn a_change_of_any_file_is_seen() {
    let setup = Setup::new()
        .dotenv("API_KEYS=[\"a\"]\nAPI_KEYS_FILE=keys\n")
        .file("keys", "b\n");
    let mut watch = settled(&setup);
    write(&setup, "keys", "b\nc\n");
    assert_eq!(keys_after_change(&mut watch), ["a", "b", "c"]);
    write(&setup, ".env", "API_KEYS_FILE=keys\n");
    assert_eq!(keys_after_change(&mut watch), ["b", "c"]);
    write(
        &setup,
        "duogate.toml",
        "require_api_key = false\napi_keys = [\"d\"]\n",
    );
    assert_eq!(keys_after_change(&mut watch), ["d", "b", "c"]);
    write(&setup, ".env", "API_KEYS_FILE=others\n");
    write(&setup, "others", "e\n");
    assert_eq!(keys_after_change(&mut watch), ["d", "e"]);
    write(&setup, "others", "f\n");
    assert_eq!(keys_after_change(&mut watch), ["d", "f"]);
}

#[test]
fn a_file_that_comes_and_goes_is_seen() {
    let setup = Setup::new();
    let mut watch = settled(&setup);
    write(&setup, ".env", "API_KEYS=[\"a\"]\n");
    assert_eq!(keys_after_change(&mut watch), ["a"]);
    fs::remove_file(setup.directory.path().join(".env")).unwrap();
    assert_eq!(keys_after_change(&mut watch), Vec::<String>::new());
}

#[test]
fn a_change_between_reading_and_looking_is_seen() {
    let setup = Setup::new().dotenv("API_KEYS_FILE=keys\n").file("keys", "a\n");
    let mut watch = Watch::new(setup.sources.clone());
    watch.load().unwrap();
    write(&setup, "keys", "b\n");
    assert_eq!(keys_after_change(&mut watch), ["b"]);
}

#[test]
fn a_file_that_goes_on_changing_is_waited_for() {
    let setup = Setup::new().dotenv("API_KEYS_FILE=keys\n").file("keys", "a\n");
    let mut watch = settled(&setup);
    for text in ["b\n", "b\nc\n", "b\nc\nd\n"] {
        write(&setup, "keys", text);
        assert!(watch.look().is_none(), "half of it is not read");
    }
    let loaded = watch.look().expect("it has settled").unwrap();
    assert_eq!(exposed(&loaded.settings.api_keys), ["b", "c", "d"]);
}

#[test]
fn a_bad_file_is_told_once_and_a_mended_one_counts() {
    let setup = Setup::new().dotenv("API_KEYS_FILE=keys\n").file("keys", "a\n");
    let mut watch = settled(&setup);
    for (name, text) in [("keys", "very secret\n"), (".env", "API_KEYS_FILE=missing\n")] {
        write(&setup, name, text);
        assert!(watch.look().is_none());
        let problems = watch.look().expect("it is seen").unwrap_err();
        assert!(!problems.to_string().contains("secret"), "{problems}");
        assert!(watch.look().is_none() && watch.look().is_none());
    }
    // Creating the missing file is enough; the file that names it stays unchanged.
    write(&setup, "missing", "b\n");
    assert_eq!(keys_after_change(&mut watch), ["b"]);
}

#[cfg(unix)]
#[test]
fn links_that_are_swapped_beneath_a_path_are_seen_through() {
    use std::os::unix::fs::symlink;
    // Kubernetes mounts secrets this way: keys -> ..data/keys, ..data -> a directory named after a date.
    let setup = Setup::new().dotenv("API_KEYS_FILE=keys\n");
    let root = setup.directory.path();
    let place = |version: &str, key: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("keys"), key).unwrap();
        symlink(version, root.join("..new")).unwrap();
        fs::rename(root.join("..new"), root.join("..data")).unwrap();
    };
    place("..1", "a\n");
    symlink(Path::new("..data").join("keys"), root.join("keys")).unwrap();
    let mut watch = settled(&setup);
    place("..2", "b\n");
    fs::remove_dir_all(root.join("..1")).unwrap();
    assert_eq!(keys_after_change(&mut watch), ["b"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_read_a_second_time() {
    let setup = Setup::new().dotenv("API_KEYS_FILE=keys\n").file("keys", "a\n");
    let mut watch = settled(&setup);
    assert_eq!(watch.once_only(), None);
    let pipe = setup.directory.path().join("keys");
    fs::remove_file(&pipe).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert_eq!(watch.once_only(), Some(pipe.as_path()));
    for _ in 0..3 {
        assert!(watch.look().is_none());
    }
}

#[test]
fn differences_are_named_those_of_secrets_too() {
    let base = Settings::default();
    let mut other = base.clone();
    let names = |other: &Settings| -> Vec<(&str, bool)> {
        let differences = differences(&base, other);
        differences
            .map(|variable| (variable.name, variable.live))
            .collect()
    };
    assert_eq!(names(&other), []);
    other.api_keys = vec!["a".into()];
    other.port += 1;
    other.upstream_headers.insert("x-a", "b".parse().unwrap());
    assert_eq!(
        names(&other),
        [("PORT", false), ("API_KEYS", true), ("UPSTREAM_HEADERS", false)]
    );
    let mut same_count = other.clone();
    same_count.api_keys = vec!["b".into()];
    same_count.upstream_headers.insert("x-a", "c".parse().unwrap());
    let between: Vec<&str> = differences(&other, &same_count)
        .map(|variable| variable.name)
        .collect();
    assert_eq!(between, ["API_KEYS", "UPSTREAM_HEADERS"]);
}
