"""The directory as it is on disk: read whole, checked whole, swapped whole; a bad file changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tunneld.forwarding.document import ProfileDocument, load_profile
from tunneld.idp.settings import read_text
from tunneld.model.errors import DocumentError
from tunneld.policy.directory import AssignedProfile, Assignments, Directory
from tunneld.policy.directory_document import TenantSection, read_directory
from tunneld.policy.directory_links import link_directory
from tunneld.wire.x509 import matches, signed_by


@dataclass(frozen=True, slots=True)
class PublishedProfile:
    """A forwarding profile as its users receive it, with its ETag (RFC 9110 §8.8.3)."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Authority:
    """The key pair that signs a tenant's client certificates."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One consistent reading of the directory document and of the files that it names."""

    directory: Directory
    profiles: dict[tuple[str, str], PublishedProfile]  # by (tenant id, profile id)
    authorities: dict[str, Authority]  # by tenant id
    files: tuple[Path, ...]


Stamp = tuple[tuple[str, int, int, int], ...]


class DirectorySource:
    """Holds the reading in force in `current`, and notices when a file of it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.current = load(path)
        self._files = self.current.files
        self._stamp = stamp(self._files)

    def changed(self) -> Loaded | None:
        """Return a new reading when a file has changed; the caller puts it in force by assigning `current`.

        Raises DocumentError for a bad file, once per change.
        """
        seen = stamp(self._files)
        if seen == self._stamp:
            return None
        self._stamp = seen  # taken before reading: a file that changes meanwhile is read once more
        try:
            loaded = load(self._path)
        except DocumentError as error:
            # The fault may be in a file that was not watched so far: mending it must be noticed too.
            if (culprit := Path(error.where)) not in self._files:
                self._files = (*self._files, culprit)
                self._stamp = stamp(self._files)
            raise
        if loaded.files != self._files:
            self._files = loaded.files
            self._stamp = stamp(loaded.files)
        return loaded


def stamp(files: Iterable[Path]) -> Stamp:
    """Return what tells one state of the files from another."""
    found = []
    for path in files:
        try:
            status = os.stat(path)
        except OSError:
            found.append((str(path), 0, 0, 0))
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def load(path: Path) -> Loaded:
    """Read the directory document and everything that it names. Raises DocumentError."""
    where = str(path)
    document = read_directory(read_text(path), where=where)
    files, profiles, authorities = [path], {}, {}
    assigned: dict[str, list[AssignedProfile]] = {}
    for index, section in enumerate(document.tenants):
        at = f"tenants[{index}]"
        for name in section.forwarding_profiles:
            source = path.parent / name
            files.append(source)
            profile = load_profile(read_text(source), where=str(source))
            grant = _assigned(profile, section, f"{at}.channels", where, source)
            assigned.setdefault(section.id, []).append(grant)
            profiles[section.id, profile.id] = publish(profile, grant)
        if section.ca_certificate is not None or section.ca_key is not None:
            pair = _authority_files(path, section, at)
            files += pair
            authorities[section.id] = _authority(*pair)
    return Loaded(link_directory(document, assigned, where=where), profiles, authorities, tuple(files))


def publish(profile: ProfileDocument, grant: AssignedProfile) -> PublishedProfile:
    """Return the profile for its users: audiences filled in, and not the list of whom else it is assigned to."""
    document = profile.to_json()
    for name, channel in document.get("channels", {}).items():
        channel["audience"] = grant.channels[name]
    document["assignments"] = {}
    body = json.dumps(document, separators=(",", ":")).encode()
    return PublishedProfile(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _assigned(profile: ProfileDocument, section: TenantSection, at: str, where: str, source: Path) -> AssignedProfile:
    if profile.tenant not in (section.id, section.name, *section.domains):
        raise DocumentError(str(source), "tenant", f"{profile.tenant!r} is not {section.name}, which lists this file")
    channels = {}
    for channel, settings in profile.channels.items():
        audience = section.channels.get(channel)
        written = settings.audience.lower() if settings.audience else None
        if audience is None and written is None:
            mend = f'add channels = {{ {channel} = "<guid>" }} to the tenant'
            raise DocumentError(where, f"{at}.{channel}", "the channel has no audience", mend)
        if audience is not None and written is not None and audience != written:
            raise DocumentError(str(source), f"channels.{channel}.audience", f"differs from {where}: {audience}")
        channels[str(channel)] = audience or written or ""
    whom = Assignments(
        frozenset(user.lower() for user in profile.assignments.users),
        frozenset(group.lower() for group in profile.assignments.groups),
        frozenset(profile.assignments.user_types),
    )
    return AssignedProfile(profile.id, whom, channels)


def _authority_files(path: Path, section: TenantSection, at: str) -> tuple[Path, Path]:
    if section.ca_certificate is None or section.ca_key is None:
        missing = "ca_certificate" if section.ca_certificate is None else "ca_key"
        raise DocumentError(str(path), f"{at}.{missing}", "missing", "give both or neither")
    return path.parent / section.ca_certificate, path.parent / section.ca_key


def _authority(certificate: Path, key: Path) -> Authority:
    pair = Authority(read_text(certificate).encode(), read_text(key).encode())
    if not signed_by(pair.certificate, pair.certificate):
        raise DocumentError(str(certificate), "", "not a self-signed certificate of an authority")
    if not matches(pair.certificate, pair.key):
        raise DocumentError(str(key), "", f"not the key of {certificate}")
    return pair
