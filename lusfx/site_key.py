"""The site's secret, and the pseudonyms made with it.

A patient's identifier is short and guessable, so a plain hash of it could be reversed by trying them all. Every key
that stands for a patient, an exam or a place on disk is therefore an HMAC-SHA256 (RFC 2104) under a secret that stays
at the site.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from lusfx.config import user_directory
from lusfx.errors import LusfxError
from lusfx.identifiers import canonical
from lusfx.patience import link, remove

SECRET_BYTES = 32
KEY_HEX_DIGITS = 20  # 80 bits: no collision among the patients of any hospital, and short enough to read aloud
BETWEEN_SPELLINGS = "."


class SiteKeyError(LusfxError):
    """The site key file is there but is not one."""


class SiteKey:
    """Makes pseudonyms that are stable at one site and meaningless at another.

    :param secret: 32 bytes that never leave the site.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise SiteKeyError(f"a site key has {SECRET_BYTES} bytes, this one has {len(secret)}")
        self._secret = secret

    def __repr__(self) -> str:
        return "SiteKey(...)"

    @property
    def secret(self) -> bytes:
        """The secret itself, for another process of the same run; it belongs in no file, argument or message to anyone."""
        return self._secret

    @property
    def check(self) -> str:
        """What tells this key from others without telling what it is: ``k-`` and 20 hexadecimal digits.

        Caches and task models keep it, since pseudonyms of two keys say nothing of each other.
        """
        return "k-" + self._digest("site key", "")

    @classmethod
    def load(cls, path: Path | None = None, *, make: bool = True) -> SiteKey:
        """Read the key file.

        :param path: the file; by default that of :func:`site_key_file`.
        :param make: whether a file that is missing is made, with mode 0600. What only reads a cache makes none: with a key
            that is new nobody is recognised.
        :raises SiteKeyError: if the file is not 64 hexadecimal digits, or is missing and is not to be made.
        """
        file = path or site_key_file()
        if _is_missing(file):
            if not make:
                raise SiteKeyError(
                    "there is no site key here, so no patient could be recognised. Set LUSFX_SITE_KEY to the key file that the "
                    "cache was extracted with, or make a new key for caches from elsewhere: lusfx site-key --make"
                )
            _create(file)
        try:
            return cls(bytes.fromhex(file.read_text(encoding="ascii").strip()))
        except (ValueError, OSError) as error:
            raise SiteKeyError(
                "the site key file cannot be used: it must be readable and hold 64 hexadecimal digits. Restore it from "
                "a backup; with another key, patients and exams get other pseudonyms."
            ) from error

    @classmethod
    def of(cls, given: SiteKey | Path | str | None, *, make: bool = True) -> SiteKey:
        """The key that a caller gave, itself or as its file; else that of :func:`site_key_file`.

        :raises SiteKeyError: as :meth:`load` does.
        """
        return given if isinstance(given, SiteKey) else cls.load(None if given is None else Path(given), make=make)

    def patient(self, identifier: str, issuer: str = "") -> str:
        """Pseudonym of a patient: ``p-`` and 20 hexadecimal digits, of the identifier as it is written.

        Where the identifier has another :func:`~lusfx.identifiers.canonical` form, a dot and the digits of that form
        follow. :func:`spellings` takes the two apart, and :func:`same_patient` is what patients are compared by.

        :param issuer: who gave the identifier (DICOM PS3.3 C.7.1.1, Issuer of Patient ID); the same number of two issuers is
            two patients.
        """
        written = self._digest("patient", f"{issuer}\0{identifier}" if issuer else identifier)
        form = f"{canonical(issuer)}\0{canonical(identifier)}" if issuer else canonical(identifier)
        same = self._digest("patient", form)
        return "p-" + (written if same == written else written + BETWEEN_SPELLINGS + same)

    def exam(self, identifier: str) -> str:
        """Pseudonym of an exam (a DICOM study): ``e-`` and 20 hexadecimal digits."""
        return "e-" + self._digest("exam", identifier)

    def source(self, path: str) -> str:
        """Pseudonym of a place on disk, which may itself name a patient: ``s-`` and 20 hexadecimal digits."""
        return "s-" + self._digest("source", path)

    def _digest(self, kind: str, text: str) -> str:
        message = f"{kind}\0{text.strip()}".encode("utf-8", "surrogateescape")
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:KEY_HEX_DIGITS]


def spellings(patient_key: str) -> tuple[str, ...]:
    """The pseudonyms that a patient key holds: of the identifier as it is written, and of its canonical form.

    Caches and task models of before the canonical form have the first alone.
    """
    written, between, same = patient_key.partition(BETWEEN_SPELLINGS)
    return (written, "p-" + same) if between else (written,)


def same_patient(patient_key: str) -> str:
    """The pseudonym that is the same however the identifier is written."""
    return spellings(patient_key)[-1]


def site_key_file() -> Path:
    """Where the site key lies: ``$LUSFX_SITE_KEY``, or ``site.key`` in the user directory."""
    return Path(os.environ.get("LUSFX_SITE_KEY") or user_directory() / "site.key")


def _is_missing(file: Path) -> bool:
    try:
        file.stat()
    except FileNotFoundError:
        return True
    except OSError:  # reading it tells; in a folder that cannot be entered it may be there
        return False
    return False


def _create(file: Path) -> None:
    """Write a new secret so that two first runs at once end up with the same one."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(SECRET_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        # A hard link fails if the name is taken, where a rename would replace the other run's key.
        with contextlib.suppress(FileExistsError):
            link(temporary, file)
    finally:
        remove(temporary)
