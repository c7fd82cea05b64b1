"""A server whose certificate nobody here trusts, and a ca_bundle that is none: the advice names ca_bundle."""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appstream_export.error_rules import suggest_fix
from appstream_export.errors import ConfigurationError
from tests.extract.asking import Asking


def write_certificate(file: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, file.stem)])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1),
                                now + timedelta(days=1))
        .add_extension(names, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(own + certificate.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def secure_url(tmp_path: Path) -> Iterator[str]:
    """A TLS server whose certificate signs itself."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None  # ty: ignore
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate(tmp_path / "server.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("is_named", [False, True], ids=["no ca_bundle", "the CA of another"])
def test_a_certificate_that_nobody_trusts_names_ca_bundle_and_is_not_tried_again(
    is_named: bool, secure_url: str, asking: Asking, tmp_path: Path
) -> None:
    asking.endpoint_url, asking.extract["max_attempts"] = secure_url, 8
    if is_named:
        asking.aws["ca_bundle"] = str(write_certificate(tmp_path / "other.pem"))

    only = asking.run().only

    assert (only.status, only.error_code) == ("network", "CertificateError")
    assert "[aws] ca_bundle" in suggest_fix(only.status, only.error_code, only.reason)
    assert only.retries == 0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file or directory"), (b"no certificate", "it holds no certificate in PEM")],
)
def test_a_ca_bundle_that_is_none_is_refused_before_anything_is_asked(
    content: bytes | None, complaint: str, asking: Asking
) -> None:
    file = asking.folder / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    asking.aws["ca_bundle"] = "ca.pem"  # from the folder of the settings

    with pytest.raises(ConfigurationError, match=rf"\[aws\] ca_bundle {file}: {complaint}; name a file of PEM cert"):
        asking.start()
