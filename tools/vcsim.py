# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vcsim, the govmomi project's simulator of a vCenter or ESXi host, built from the distribution's packages.

``python -m tools.vcsim`` builds it once, into .run/vcsim, and prints the program's path.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tools.processes import Background
from tools.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "peers" / "vcsim" / "main.go"
PLACE = ROOT / ".run" / "vcsim"
#: Where Debian's packages put Go's sources.
GOPATH = Path("/usr/share/gocode")
BUILD_TIMEOUT, START_TIMEOUT = 900, 60
CERTIFICATE_DAYS = 3650


class NoSimulator(Exception):
    """The simulator cannot be built; the message says what is missing or what the compiler said."""


@dataclass(frozen=True)
class Simulator:
    """A simulator that answers."""

    url: str
    #: The certificate that it shows, which is its own authority.
    certificate: Path
    #: What it printed.
    log: Path


def program() -> Path:
    """The simulator, built anew if its source has changed. Raises NoSimulator."""
    PLACE.mkdir(parents=True, exist_ok=True)
    built = PLACE / f"vcsim-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    with (PLACE / "building").open("w") as alone:
        # Test processes that start at once build it once.
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not built.exists():
            _build(built)
    return built


def _build(built: Path) -> None:
    if shutil.which("go") is None or not (GOPATH / "src/github.com/vmware/govmomi").is_dir():
        raise NoSimulator("vcsim needs golang-go and golang-github-vmware-govmomi-dev: run make setup-test")
    environment = {
        **os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH), "CGO_ENABLED": "0", "GOFLAGS": "",
        "GOCACHE": str(PLACE / "cache"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=PLACE) as work:
        done = subprocess.run(
            ["go", "build", "-o", f"{work}/vcsim", str(SOURCE)],
            env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise NoSimulator(f"go build of {SOURCE} failed:\n{done.stderr}")
        Path(work, "vcsim").rename(built)
    shutil.rmtree(PLACE / "cache", ignore_errors=True)


def certificate() -> tuple[Path, Path]:
    """A certificate for this host's loopback address, and its key. Raises CalledProcessError."""
    PLACE.mkdir(parents=True, exist_ok=True)
    cert, key = PLACE / "cert.pem", PLACE / "key.pem"
    with (PLACE / "signing").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        if not cert.exists():
            make_certificate(cert, key)
    return cert, key


def make_certificate(cert: Path, key: Path) -> None:
    """Signed by itself. The certificate's file appears last, so that it is never there without its key."""
    partial = cert.with_suffix(".partial")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", str(CERTIFICATE_DAYS),
         "-subj", "/CN=vcsim", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", str(key), "-out", str(partial)],
        check=True, capture_output=True,
    )  # fmt: skip
    partial.rename(cert)


@contextmanager
def running(directory: Path, *options: str) -> Iterator[Simulator]:
    """A simulator on a free port of the loopback address, stopped afterwards. The options are those of main.go."""
    cert, key = certificate()
    process = Background(directory, "vcsim")
    # What it serves lies in its directory for temporary files, which it does not remove when it is killed.
    files = directory / "files"
    files.mkdir(parents=True)
    command = [str(program()), "-cert", str(cert), "-key", str(key), *options]
    process.start(command, {**os.environ, "TMPDIR": str(files)})
    try:
        url = wait_until(lambda: _url(process), START_TIMEOUT, "the simulator's URL", every=0.02)
        yield Simulator(url=url, certificate=cert, log=process.log)
    finally:
        process.stop()
        shutil.rmtree(files, ignore_errors=True)


def _url(process: Background) -> str | None:
    process.require()
    lines = process.log.read_text(errors="replace").splitlines()
    return next((line for line in lines if line.startswith("https://")), None)


def become(options: list[str]) -> NoReturn:
    """A simulator for a person, in the place of this process."""
    cert, key = certificate()
    built = str(program())
    os.execv(built, [built, "-cert", str(cert), "-key", str(key), *options])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        become(sys.argv[1:])
    print(program())
