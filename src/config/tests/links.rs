//! Service links injected into the environment by container platforms.

use super::{Setup, problem_of};
use crate::config::{Settings, table};

/// Whether Kubernetes sets this variable, to a URL-like address, for a Service named by its first words.
fn names_for_services(variable: &str) -> bool {
    let forms = ["_PORT", "_PORT_50051_TCP", "_PORT_50051_UDP", "_SERVICE_PORT"];
    forms.iter().any(|form| {
        variable
            .strip_suffix(form)
            .is_some_and(|service| !service.is_empty())
    })
}

#[test]
fn the_address_of_a_service_is_nobodys_setting() {
    let injected: Vec<_> = table::variables()
        .filter(|variable| variable.name == "PORT" || names_for_services(variable.name))
        .map(|variable| variable.name)
        .collect();
    assert_eq!(
        injected,
        ["PORT", "GRPC_PORT"],
        "what may be injected for a service"
    );
    for name in injected {
        for value in [
            "tcp://10.0.0.7:50051",
            "udp://10.0.0.7:53",
            "sctp://10.0.0.7:1",
            "tcp://[fd00::7]:50051",
            "TCP://10.0.0.7:50051",
            "\"tcp://10.0.0.7:50051\"",
        ] {
            for spelled in [name.to_owned(), name.to_ascii_lowercase()] {
                let loaded = Setup::new().environment(&spelled, value).loaded();
                assert_eq!(
                    loaded.settings.describe(),
                    Settings {
                        require_api_key: false,
                        ..Settings::default()
                    }
                    .describe()
                );
                let told: Vec<_> = loaded
                    .warnings
                    .iter()
                    .filter(|line| line.starts_with(name))
                    .collect();
                assert_eq!(told.len(), 1, "{spelled}={value}: {:?}", loaded.warnings);
                assert!(told[0].contains("enableServiceLinks: false"), "{told:?}");
            }
        }
    }
}

#[test]
fn beneath_it_the_next_layer_counts() {
    let setup = Setup::new()
        .dotenv("GRPC_PORT=7\n")
        .environment("GRPC_PORT", "tcp://10.0.0.7:50051");
    assert_eq!(setup.loaded().settings.grpc_port, Some(7));
}

#[test]
fn elsewhere_and_in_other_forms_it_is_a_mistake() {
    for value in [
        "tcp://10.0.0.7",
        "tcp://:80",
        "http://10.0.0.7:80",
        "10.0.0.7:80",
        "tcp://a/b:1",
    ] {
        problem_of("GRPC_PORT", value);
    }
    problem_of("TIMEOUT", "tcp://10.0.0.7:50051");
    problem_of("UPSTREAM_PROXY", "tcp://10.0.0.7:50051");
    let in_file = Setup::new().dotenv("GRPC_PORT=tcp://10.0.0.7:50051\n").problems();
    assert_eq!(in_file.len(), 1, "{in_file:?}");
    let in_toml = Setup::strict()
        .file(
            "duogate.toml",
            "require_api_key = false\ngrpc_port = \"tcp://10.0.0.7:50051\"\n",
        )
        .problems();
    assert_eq!(in_toml.len(), 1, "{in_toml:?}");
}

#[test]
fn links_of_services_with_names_like_ours_are_no_near_misses() {
    let setup = Setup::new()
        .environment("GRP_PORT", "tcp://10.0.0.7:50051")
        .environment("GRPC_PORTS", "1");
    let warnings = setup.loaded().warnings;
    assert!(
        !warnings.iter().any(|line| line.starts_with("GRP_PORT")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().any(|line| line.starts_with("GRPC_PORTS")),
        "{warnings:?}"
    );
}
