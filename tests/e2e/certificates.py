"""Certificates made with openssl, as an admin would."""

import subprocess

from checks import equal

SIGNED = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")


def certificate(directory, name, *arguments):
    """Makes a key and a certificate of a name."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    equal(made.returncode, 0, made.stderr)


def certificates(directory):
    """A CA, and certificates signed by it for gateway and client."""
    certificate(directory, "ca")
    of_gateway(directory, "gateway")
    certificate(directory, "client", *SIGNED)


def of_gateway(directory, name):
    """A certificate and key for a gateway."""
    certificate(directory, name, *SIGNED, "-addext", "subjectAltName=IP:127.0.0.1")
