"""A warehouse in a bucket: the storage port over boto3, for AWS S3 and compatible services.

All requests use one client, so credentials, endpoint, encryption and retries are the same for each of them (pyarrow's
S3FileSystem can neither set a KMS key per object nor find all credentials that boto3 finds). S3 shows only complete
objects; an interrupted upload stays invisible until `abort_uploads` removes it. A commit is a PUT with
`If-None-Match: *`. Because the newest manifest may be one of thousands, the object `head` in the same folder hints at
its name.
"""

import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from appstream_export.aws_profiles import ProfileError, check_profile, describe_provider_error, refuse_mfa_prompts
from appstream_export.contracts import find_configured_endpoint
from appstream_export.error_rules import find_exception_code, is_access_refused, suggest_storage_fix
from appstream_export.errors import ConfigurationError, replace_secrets, suggest_correction
from appstream_export.lake.storage.base import (
    FixableOSError,
    HashingWriter,
    StoredObject,
    describe_os_error,
    validate_root_path,
)
from appstream_export.lake.storage.fsspec_bridge import RemoteFiles
from appstream_export.lake.storage.paths import COMMITS_FOLDER, PROBE_FILE, is_upload_path
from appstream_export.settings import (
    EmulatedS3Settings,
    S3Settings,
    find_endpoint_problem,
    is_loopback,
    suggest_endpoint_fix,
)

PART_BYTES = 8 << 20  # S3 accepts 10,000 parts of at least 5 MiB: with this size, files up to 80 GB
READERS = 16  # small files read concurrently; most of the time of each is latency
TRIES = 6  # of botocore, with its backoff: S3 answers 503 SlowDown until it has partitioned a busy prefix
BODY_TRIES = 4  # botocore retries a request, but not a response body that is cut off
CONFLICT_TRIES, CONFLICT_WAIT_S = 8, 0.1  # S3 answers 409 while another conditional PUT of the same name is under way
HEAD_HINT_FILE = "head"
_S3_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[\w!.'()@+-]+)*)/?", re.ASCII)
_HINT_NAME = re.compile(r"[\w.-]{2,100}", re.ASCII)
PLACEHOLDER_KEY = "emulator"  # credentials for an endpoint on this machine, which accepts any


class S3Store:
    """A warehouse in a bucket. `root` has no trailing slash; there is no catalog file and no file mode."""

    has_catalog_file = False
    file_mode = 0o600
    endpoint_url: str | None = None
    """URL of the S3 service; None for AWS."""

    def __init__(self, bucket: str, prefix: str, client: Any, *, kms_key_id: str | None = None) -> None:
        self.root = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket, self._prefix, self._client = bucket, f"{prefix}/" if prefix else "", client
        self._encryption: dict[str, Any] = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id, "BucketKeyEnabled": True}
            if kms_key_id
            else {}
        )

    @property
    def region(self) -> str:
        """The region for which requests are signed."""
        return self._client.meta.region_name

    @cached_property
    def scratch(self) -> str:
        """A private temporary folder on this machine, removed together with the store."""
        folder = tempfile.mkdtemp(prefix="appstream-export-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def resolve_uri(self, path: str = "") -> str:
        """Return `s3://bucket/prefix/path`; by default `s3://bucket/prefix`."""
        return f"{self.root}/{path}" if path else self.root

    @cached_property
    def _filesystem(self) -> RemoteFiles:
        return RemoteFiles(self.root, self._read_end, self._read_range)

    def get_filesystem(self) -> RemoteFiles:
        """Return the filesystem for DuckDB: no extension, the same credentials, and only objects below the prefix."""
        return self._filesystem

    def read_bytes(self, path: str) -> bytes:
        """Return the content of an object; raises FileNotFoundError."""
        return self._get_object(path)[0]

    def read_tail(self, path: str, size: int) -> bytes:
        """Return the last bytes of an object, at most `size`; raises FileNotFoundError."""
        return self._read_end(path, size)[0]

    def compute_digest(self, path: str) -> tuple[int, str]:
        """Return the size and the SHA-256 of an object; raises FileNotFoundError."""
        content = self.read_bytes(path)
        return len(content), hashlib.sha256(content).hexdigest()

    def read_files(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Yield the contents of objects in the given order, reading many concurrently."""
        with ThreadPoolExecutor(READERS) as pool:
            yield from pool.map(self.read_bytes, paths)

    def exists(self, path: str) -> bool:
        """Return whether an object of that name exists."""
        try:
            with self._translate_errors(path):
                self._client.head_object(**self._build_object_params(path))
        except FileNotFoundError:
            return False
        return True

    def list_folder(self, folder: str) -> list[str]:
        """Return the sorted names of the objects in a folder."""
        return [*self._list_names(folder)]

    def list_tail(self, folder: str) -> Sequence[str]:
        """Return the names from the hinted one on; all names if the hint is missing or wrong."""
        hint = self.read_head_hint(folder)
        # StartAfter excludes its own key, so list after a prefix of the hint: a correct hint is then among the names.
        names = self._list_names(folder, after=hint[:-1]) if hint else []
        return names if hint in names else self._list_names(folder)

    def read_head_hint(self, folder: str) -> str:
        """Return the name that the last writer recorded as the newest; empty if there is no valid hint."""
        try:
            hint = self.read_bytes(f"{folder}/{HEAD_HINT_FILE}").decode("ascii", "replace")
        except FileNotFoundError:
            return ""
        return hint if _HINT_NAME.fullmatch(hint) else ""

    def list_all(self) -> Sequence[StoredObject]:
        """Return all objects below the prefix except hints and probe; for gc and erase, not for readers."""
        found = self._list_items("list_objects_v2", "Contents", Prefix=self._prefix)
        stored = [self._build_stored_object(o["Key"], o["LastModified"], o["Size"]) for o in found]
        return [s for s in stored if s.path != PROBE_FILE and not s.path.endswith(f"/{HEAD_HINT_FILE}")]

    def list_old_versions(self) -> Sequence[StoredObject] | None:
        """Return the old versions of removed or replaced objects; None if listing them is not allowed."""
        try:
            found = self._list_items("list_object_versions", "Versions", Prefix=self._prefix)
        except OSError as error:
            return (
                None if error.errno == errno.EACCES else ()
            )  # an S3 service without versions does not know the operation
        return [
            self._build_stored_object(v["Key"], v["LastModified"], v["Size"], v["VersionId"])
            for v in found
            if not v["IsLatest"]
        ]

    def read_version(self, stored: StoredObject) -> bytes:
        """Return the content of an object in the listed version."""
        return self._get_object(stored.path, version=stored.version)[0]

    @contextmanager
    def open_output(self, path: str) -> Generator[HashingWriter]:
        """Upload a new object in parts. It appears when the block succeeds; if the block fails, nothing appears."""
        with self._translate_errors(path):
            upload = _Upload(self._client, self._build_object_params(path), self._encryption)
            try:
                yield HashingWriter(upload)
                upload.finish()
            except BaseException:
                upload.abort()
                raise

    def put_if_absent(self, path: str, content: bytes) -> bool:
        """Create an object if the name is free; return False if it holds other content.

        The response to a successful PUT may get lost, and its retry then fails: so the stored content decides.
        """
        try:
            with self._translate_errors(path):
                created = self._put_object_if_absent(path, content) or self._has_content(path, content)
        except OSError:
            # The outcome is unknown: the object may have been created although its response was an error.
            with suppress(OSError):
                created = self._has_content(path, content)
                if created:
                    return True
            raise
        if created:
            self._write_hint(path)
        return created

    def replace(self, path: str, build: Callable[[str], None], *, mode: int) -> None:
        """Call `build` with a temporary path on this machine, then upload its file; S3 has no modes."""
        del mode
        with tempfile.TemporaryDirectory(prefix="appstream-export-") as folder:
            built = Path(folder, Path(path).name)
            build(str(built))
            with built.open("rb") as file, self.open_output(path) as output:
                shutil.copyfileobj(file, output)

    def fetch(self, path: str, file: str) -> None:
        """Download an object; raises FileNotFoundError."""
        Path(file).write_bytes(self.read_bytes(path))

    def copy(self, path: str, target: str) -> None:
        """Copy an object within the bucket."""
        source = self._build_object_params(path)
        with self._translate_errors(path):
            self._client.copy_object(**self._build_object_params(target), CopySource=source, **self._encryption)

    def remove(self, path: str) -> None:
        """Remove an object; do nothing if it is missing."""
        with self._translate_errors(path):
            self._client.delete_object(**self._build_object_params(path))

    def abort_uploads(self, before: datetime, *, dry_run: bool = False) -> Sequence[StoredObject]:
        """Abort and return this program's unfinished uploads begun before a moment: AWS bills their invisible parts."""
        found = self._list_items("list_multipart_uploads", "Uploads", Prefix=self._prefix)
        begun = [self._build_stored_object(u["Key"], u["Initiated"], version=u["UploadId"]) for u in found]
        ended = [upload for upload in begun if is_upload_path(upload.path) and upload.changed_at < before]
        for upload in ended if not dry_run else ():
            with self._translate_errors(upload.path), suppress(FileNotFoundError):
                self._client.abort_multipart_upload(**self._build_object_params(upload.path), UploadId=upload.version)
        return ended

    def symlink(self, path: str, target: str) -> None:
        """Do nothing: S3 has no links."""

    def open_subfolder(self, folder: str, *, file_mode: int, create: bool = False) -> "S3Store":
        """Return a folder of this store as a store; S3 has no modes."""
        del file_mode, create
        below = S3Store(self._bucket, f"{self._prefix}{folder}", self._client)
        # The client and the key are shared: a folder of a bucket has no settings of its own.
        below._encryption = self._encryption
        return below

    def check_access(self, *, writable: bool) -> None:
        """Try the operations that a run needs; raises OSError.

        Concurrent runs are safe only if the service honors `If-None-Match`, so the probe is written twice: the second
        write must be refused.
        """
        # Every command needs this list, so that a wrong bucket, region or key is reported here.
        self.list_tail(COMMITS_FOLDER)
        if not writable:
            return
        with self._translate_errors(PROBE_FILE):
            if all(self._put_object_if_absent(PROBE_FILE, b"") for _ in range(2)):
                what = "the endpoint ignores If-None-Match; two runs at once would overwrite each other here"
                fix = "use AWS, or an S3 service that supports conditional writes"
                raise FixableOSError(errno.ENOTSUP, what, self.resolve_uri(PROBE_FILE), fix=fix)

    def _read_end(self, path: str, size: int) -> tuple[bytes, int]:
        return self._get_object(path, f"bytes=-{size}")

    def _read_range(self, path: str, start: int, stop: int) -> bytes:
        return self._get_object(path, f"bytes={start}-{stop - 1}")[0]

    def _get_object(self, path: str, span: str | None = None, version: str | None = None) -> tuple[bytes, int]:
        """Return the content of an object or of a byte range, and the size of the whole object."""
        ranged = ({"Range": span} if span else {}) | ({"VersionId": version} if version else {})
        with self._translate_errors(path):
            for tries_left in reversed(range(BODY_TRIES)):
                answer = self._client.get_object(**self._build_object_params(path), **ranged)
                try:
                    content = answer["Body"].read()
                except BotoCoreError:
                    if not tries_left:
                        raise
                else:
                    # Only a range has ContentRange, such as "bytes 0-99/1234", which ends with the size of the whole.
                    return content, int(answer.get("ContentRange", "").rpartition("/")[2] or len(content))
        raise AssertionError("unreachable")

    def _put_object_if_absent(self, path: str, content: bytes) -> bool:
        params = {**self._build_object_params(path), "Body": content, "IfNoneMatch": "*", **self._encryption}
        for tries_left in reversed(range(CONFLICT_TRIES)):
            try:
                self._client.put_object(**params)
            except ClientError as error:
                if _get_error_code(error) == "PreconditionFailed":
                    return False
                if _get_error_code(error) != "ConditionalRequestConflict" or not tries_left:
                    raise
                time.sleep(CONFLICT_WAIT_S)
            else:
                return True
        raise AssertionError("unreachable")

    def _has_content(self, path: str, content: bytes) -> bool:
        try:
            return self.read_bytes(path) == content
        except FileNotFoundError:
            return False

    def _write_hint(self, path: str) -> None:
        """Record the name as the folder's newest. Runs may overwrite each other's records, so it is only a hint."""
        folder, _, name = path.rpartition("/")
        with suppress(OSError), self._translate_errors(path):
            self._client.put_object(
                **self._build_object_params(f"{folder}/{HEAD_HINT_FILE}"), Body=name.encode(), **self._encryption
            )

    def _list_names(self, folder: str, after: str = "") -> Sequence[str]:
        start = f"{self._prefix}{folder}/"
        limits = {"StartAfter": start + after} if after else {}
        found = self._list_items("list_objects_v2", "Contents", Prefix=start, Delimiter="/", **limits)
        return [name for o in found if (name := o["Key"].removeprefix(start)) != HEAD_HINT_FILE]

    def _list_items(self, operation: str, items: str, **params: Any) -> Sequence[dict[str, Any]]:
        with self._translate_errors(""):
            pages = self._client.get_paginator(operation).paginate(Bucket=self._bucket, **params)
            return [item for page in pages for item in page.get(items, ())]

    def _build_stored_object(
        self, key: str, changed_at: datetime, size_bytes: int = 0, version: str | None = None
    ) -> StoredObject:
        return StoredObject(key.removeprefix(self._prefix), size_bytes, changed_at.astimezone(UTC), version)

    def _build_object_params(self, path: str) -> dict[str, str]:
        if path.startswith("/") or ".." in path.split("/"):
            why = f'"{path}" leads out of the warehouse; a manifest was tampered with'
            raise PermissionError(errno.EACCES, why, self.root)
        return {"Bucket": self._bucket, "Key": self._prefix + path}

    @contextmanager
    def _translate_errors(self, path: str) -> Generator[None]:
        """Translate boto3's errors to OSError with the location, S3's message and the fix."""
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            # from None: a traceback would print the raw text of a credential process or a server
            raise _build_os_error(error, self.resolve_uri(path)) from None


class _Upload:
    """The upload of one object: a single PUT if it is small, else parts that stay invisible until all are complete."""

    def __init__(self, client: Any, object_params: Mapping[str, str], encryption: Mapping[str, Any]) -> None:
        self._client, self._object_params, self._encryption = client, object_params, encryption
        self._buffer = bytearray()
        self._size = 0
        self._upload: dict[str, str] = {}
        self._parts: list[dict[str, Any]] = []

    def write(self, content: bytes | bytearray | memoryview, /) -> int:
        """Buffer the content, and send each full part."""
        self._buffer += content
        self._size += len(content)
        while len(self._buffer) >= PART_BYTES:
            self._send_part(PART_BYTES)
        return len(content)

    def finish(self) -> None:
        """Send the rest of the content and complete the object."""
        if not self._upload:
            self._client.put_object(**self._object_params, Body=bytes(self._buffer), **self._encryption)
            return
        if self._buffer:
            self._send_part(len(self._buffer))
        try:
            self._client.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": self._parts})
        except ClientError as error:
            # botocore retried after a lost response, and the first request had completed the upload
            if _get_error_code(error) != "NoSuchUpload" or not self._is_object_complete():
                raise

    def abort(self) -> None:
        """Abort the upload; if S3 cannot be reached, gc aborts it later."""
        if self._upload:
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**self._upload)

    def _send_part(self, size: int) -> None:
        if not self._upload:
            answer = self._client.create_multipart_upload(**self._object_params, **self._encryption)
            self._upload = {**self._object_params, "UploadId": answer["UploadId"]}
        number = len(self._parts) + 1
        answer = self._client.upload_part(**self._upload, PartNumber=number, Body=bytes(self._buffer[:size]))
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]} | _extract_checksums(answer))
        del self._buffer[:size]

    def _is_object_complete(self) -> bool:
        return self._client.head_object(**self._object_params)["ContentLength"] == self._size


def open_s3(warehouse: str, settings: S3Settings, *, create: bool) -> S3Store:
    """Return the store of `s3://bucket/prefix`; raises ConfigurationError if the bucket cannot be used."""
    validate_root_path(warehouse)
    match = _S3_URL.fullmatch(warehouse)
    if not match or {".", ".."} & set(match[2].split("/")):
        raise ConfigurationError(
            f"warehouse {warehouse}: not of the form s3://bucket/prefix with plain letters, digits and -_."
        )
    try:
        client = _create_client(settings)
        store = S3Store(match[1], match[2].strip("/"), client, kms_key_id=settings.kms_key_id)
        store.endpoint_url = find_bucket_endpoint(settings)
        store.check_access(writable=create)
    except (BotoCoreError, ClientError) as error:
        message, fix = describe_os_error(_build_os_error(error, warehouse))
        raise ConfigurationError(f"warehouse {warehouse}: {message}", fix=fix) from None
    except OSError as error:
        message, fix = describe_os_error(error)
        raise ConfigurationError(f"warehouse {warehouse}: {message}", fix=fix) from error
    return store


def find_bucket_endpoint(settings: S3Settings) -> str | None:
    """Return the URL of an S3 service other than AWS, from the settings, the environment or the AWS config file."""
    return _find_endpoint_url(_open_session(settings), settings)


def _find_endpoint_url(session: botocore.session.Session, settings: S3Settings) -> str | None:
    """Return the endpoint's URL, if any; raises ConfigurationError if it has a password or lacks TLS."""
    url = settings.endpoint_url or find_configured_endpoint(session, "s3")
    if url and (problem := find_endpoint_problem(url, allow_http=settings.allow_http)):
        message = f"the endpoint of the warehouse's bucket: {problem}"
        raise ConfigurationError(message, fix=suggest_endpoint_fix("[lake.s3]", url))
    return url


def _create_client(settings: S3Settings) -> Any:
    """Return an S3 client; boto3 finds the credentials, region and endpoint that the settings do not give."""
    session = _open_session(settings)
    endpoint = _find_endpoint_url(session, settings)
    is_local = endpoint is not None and is_loopback(endpoint)
    _set_up_credentials(session, settings, is_local=is_local)
    if isinstance(settings, EmulatedS3Settings):  # then nothing else is contacted either, such as STS for a role
        session.register("before-send", _refuse_other_hosts)
    # A proxy would resolve 127.0.0.1 to its own machine, and receive the requests and the keys in them.
    local: dict[str, Any] = {"proxies": {}} if is_local else {}
    client = session.create_client(
        "s3",
        region_name=settings.region or session.get_config_variable("region") or "us-east-1",
        endpoint_url=endpoint,
        verify=settings.ca_bundle,
        config=Config(
            retries={"mode": "standard", "total_max_attempts": TRIES},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=2 * READERS,
            # Most other S3 services have no DNS name for each bucket.
            s3={"addressing_style": "path" if endpoint else "auto"},
            **local,
        ),
    )
    if is_local:
        client.meta.events.register("before-send.s3", _refuse_other_hosts)
    return client


def _open_session(settings: S3Settings) -> botocore.session.Session:
    """Return a session that reads the user's AWS files, but not for an emulated bucket."""
    if isinstance(settings, EmulatedS3Settings):
        session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        session.set_config_variable("config_file", os.devnull)
        session.set_config_variable("credentials_file", os.devnull)
        return session
    session = botocore.session.Session(profile=settings.profile)
    if settings.profile and settings.profile not in session.available_profiles:
        what = f'[lake.s3] profile "{settings.profile}" is not in the AWS config or credentials files'
        raise ConfigurationError(what, fix=suggest_correction(settings.profile, session.available_profiles))
    return session


def _set_up_credentials(session: botocore.session.Session, settings: S3Settings, *, is_local: bool) -> None:
    """Set the session's credentials: placeholders for an emulated bucket, the settings' keys, or boto3's search."""
    if isinstance(settings, EmulatedS3Settings):
        session.set_credentials(PLACEHOLDER_KEY, PLACEHOLDER_KEY)
        return
    if settings.access_key_id and settings.secret_access_key:
        key, secret = settings.access_key_id, settings.secret_access_key
        session.set_credentials(
            key.reveal(key="[lake.s3] access_key_id"), secret.reveal(key="[lake.s3] secret_access_key")
        )
        return
    refuse_mfa_prompts(session)
    if settings.profile or not is_local:
        _check_profile(session, settings.profile)
    if is_local:
        for provider in ("iam-role", "container-role"):  # they send requests to link-local addresses
            session.get_component("credential_provider").remove(provider)
        if session.get_credentials() is None:
            session.set_credentials(PLACEHOLDER_KEY, PLACEHOLDER_KEY)


def _refuse_other_hosts(request: Any, **_: Any) -> None:
    """Raise ConfigurationError for a request to another host, to which S3 may redirect."""
    if not is_loopback(request.url):
        raise ConfigurationError("the bucket's endpoint is on this machine, so requests to other hosts are refused")


def _check_profile(session: botocore.session.Session, profile: str | None) -> None:
    try:
        check_profile(session, profile)
    except ProfileError as error:
        raise ConfigurationError(f"the warehouse's bucket: {error.message}", fix=error.fix) from error


def _build_os_error(error: BotoCoreError | ClientError, where: str) -> OSError:
    code, text = describe_provider_error(error) or (_get_error_code(error), str(error))
    said = replace_secrets(
        str(error.response.get("Error", {}).get("Message")) if isinstance(error, ClientError) else text
    )
    if code in ("NoSuchKey", "NoSuchUpload", "404"):
        return FileNotFoundError(errno.ENOENT, "there is no such object", where)
    known = find_exception_code(error) or code
    number = errno.EACCES if is_access_refused(known) else errno.EIO
    text = f"{code}: {' '.join(str(said).split()).rstrip('.')}"
    return FixableOSError(number, text, where, fix=suggest_storage_fix(known, text))


def _get_error_code(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def _extract_checksums(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part's checksums, which S3 requires again to complete the upload."""
    return {name: value for name, value in answer.items() if name.startswith("Checksum") and name != "ChecksumType"}
