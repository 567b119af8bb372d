//! Which certificates of the upstream are trusted: the system's, or in their place those that `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name. Where none can be read, the roots that are built in.

use std::{fs, path::Path};

use rustls::pki_types::{CertificateDer, pem::PemObject};

/// What is wrong with the variables that name certificates, each by its name.
pub fn complaints(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let file = given("SSL_CERT_FILE").and_then(|path| wrong_file(Path::new(&path)));
    let file = file.map(|reason| format!("SSL_CERT_FILE: {reason}"));
    let directories = given("SSL_CERT_DIR").unwrap_or_default();
    let directories = std::env::split_paths(&directories).filter(|path| !path.as_os_str().is_empty());
    let directories = directories.enumerate().filter_map(|(index, path)| {
        let error = fs::read_dir(path).err()?;
        Some(format!(
            "SSL_CERT_DIR: directory {} cannot be read: {error}",
            index + 1
        ))
    });
    file.into_iter().chain(directories).collect()
}

fn wrong_file(path: &Path) -> Option<String> {
    let pem = match fs::read(path) {
        Ok(pem) => pem,
        Err(error) => return Some(format!("the file cannot be read: {error}")),
    };
    let mut certificates = CertificateDer::pem_slice_iter(&pem);
    if certificates.any(|certificate| certificate.is_ok()) {
        None
    } else {
        Some("the file holds no certificate in PEM form".to_owned())
    }
}
