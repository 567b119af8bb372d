//! Service links: for a service named `grpc`, Kubernetes sets `GRPC_PORT=tcp://10.0.0.7:50051` in the environment of
//! every container of the namespace, and Docker's links do the same. Such a value is not meant as a setting.

/// Whether a variable was set by such a platform. Of the injected names (`NAME_PORT`, `NAME_PORT_80_TCP` and others)
/// only those of a port have such a value.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_of_a_port = name == "PORT" || name.ends_with("_PORT") || name.contains("_PORT_");
    is_of_a_port && is_link(value.trim())
}

fn is_link(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else {
        return false;
    };
    let is_scheme = ["tcp", "udp", "sctp"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme));
    let address = rest.rsplit_once(':');
    is_scheme
        && address.is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(['/', '@']) && port.parse::<u16>().is_ok()
        })
}
