# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the guest of demo and tests: a small disk that boots by BIOS, says so on its serial line, and obeys ACPI.

``python -m tools.guest.build`` prints the image's path. Nothing here needs privileges: the distribution's kernel and
busybox are fetched as packages and unpacked, not installed. The image is kept, under a name that holds the hash of its
recipe.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.guest.cpio import Archive

RECIPE = Path(__file__).parent
INGREDIENTS = ("build.py", "cpio.py", "init", "lease", "syslinux.cfg")
CACHE = RECIPE.parent.parent / ".run" / "cache"

#: Packages that lead to a kernel for guests, by preference: Debian's, then Ubuntu's.
KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")

#: What the guest needs; a kernel may have some of them built in, or have no such driver.
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "ahci", "ata_piix", "sd_mod", "sr_mod", "cdrom",
    "isofs", "button", "evdev", "virtio_balloon",
)  # fmt: skip

IMAGE_MIB = 48
PARTITION_START = 1024 * 1024
MBR = Path("/usr/lib/SYSLINUX/mbr.bin")


class CannotBuild(Exception):
    """The guest cannot be built here; the message says what failed."""


def guest_image() -> Path:
    """The image, qcow2. Built unless an image of the same recipe is there; then that takes no time."""
    image = CACHE / f"guest-{_recipe_hash()}.qcow2"
    if not image.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="guest-") as work:
            # The rename comes last, so that a build that was interrupted leaves no image.
            _build(Path(work)).rename(image)
    return image


def _recipe_hash() -> str:
    digest = hashlib.sha256()
    for name in INGREDIENTS:
        digest.update((RECIPE / name).read_bytes())
    return digest.hexdigest()[:12]


def _build(work: Path) -> Path:
    kernel = _unpack(work, _kernel_packages())
    busybox = _unpack(work, ["busybox-static"])
    initrd = work / "initrd.gz"
    initrd.write_bytes(gzip.compress(_initramfs(kernel, busybox), compresslevel=6))
    (vmlinuz,) = (kernel / "boot").glob("vmlinuz-*")
    return _disk(work, vmlinuz, initrd)


def _kernel_packages() -> list[str]:
    """The real package behind the first of KERNELS that there is, and the one that holds its modules, if another."""
    for name in KERNELS:
        depends = _run("apt-cache", "depends", "--important", name, check=False)
        images = re.findall(r"Depends: (linux-image-\d\S+)", depends)
        if images:
            modules = re.findall(r"Depends: (linux-modules-\d\S+)", _run("apt-cache", "depends", images[0]))
            return images[:1] + modules[:1]
    raise CannotBuild(f"apt knows none of the kernels {', '.join(KERNELS)}; `apt-get update` may help")


def _unpack(work: Path, packages: list[str]) -> Path:
    """Fetch packages and unpack them side by side into one directory."""
    into = work / packages[0]
    into.mkdir()
    _run("apt-get", "download", "-q", *packages, cwd=into)
    for package in into.glob("*.deb"):
        _run("dpkg-deb", "-x", str(package), str(into))
    return into


def _initramfs(kernel: Path, busybox: Path) -> bytes:
    archive = Archive()
    for directory in ("bin", "dev", "proc", "sys", "run", "seed", "modules"):
        archive.add_directory(directory)
    archive.add_file("bin/busybox", next(busybox.glob("**/bin/busybox")).read_bytes(), executable=True)
    archive.add_file("init", (RECIPE / "init").read_bytes(), executable=True)
    archive.add_file("bin/lease", (RECIPE / "lease").read_bytes(), executable=True)
    modules = dict(_modules(kernel))
    for name, content in modules.items():
        archive.add_file(f"modules/{name}", content)
    archive.add_file("modules/order", "".join(f"{name}\n" for name in modules).encode())
    return archive.to_bytes()


def _modules(kernel: Path) -> Iterator[tuple[str, bytes]]:
    """The modules that MODULES need, each after those that it needs itself."""
    files = {re.sub(r"\.ko.*", "", path.name).replace("-", "_"): path for path in kernel.glob("**/modules/**/*.ko*")}
    taken: set[str] = set()

    def take(name: str) -> Iterator[tuple[str, bytes]]:
        if name in taken or name not in files:
            return
        taken.add(name)
        content = _decompressed(files[name])
        needs = re.search(rb"\0depends=([^\0]*)\0", content)
        for needed in needs[1].decode().split(",") if needs else ():
            yield from take(needed.replace("-", "_"))
        yield f"{name}.ko", content

    for name in MODULES:
        yield from take(name)


def _decompressed(path: Path) -> bytes:
    match path.suffix:
        case ".xz":
            return lzma.decompress(path.read_bytes())
        case ".gz":
            return gzip.decompress(path.read_bytes())
        case ".zst":
            return subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
    return path.read_bytes()


def _disk(work: Path, vmlinuz: Path, initrd: Path) -> Path:
    """A disk with one FAT partition that syslinux boots from."""
    raw, image = work / "guest.raw", work / "guest.qcow2"
    with raw.open("wb") as disk:
        disk.truncate(IMAGE_MIB * 1024 * 1024)
    _run("sfdisk", "--quiet", str(raw), input="label: dos\nstart=1MiB, type=e, bootable\n")
    with raw.open("r+b") as disk:
        disk.write(MBR.read_bytes())
    partition = f"{raw}@@{PARTITION_START}"
    _run("mformat", "-i", partition, "-h", "64", "-s", "32", "-T", str((IMAGE_MIB - 1) * 2048), "-H", "2048", "::")
    _run("mcopy", "-i", partition, str(RECIPE / "syslinux.cfg"), "::/syslinux.cfg")
    _run("mcopy", "-i", partition, str(vmlinuz), "::/vmlinuz")
    _run("mcopy", "-i", partition, str(initrd), "::/initrd.gz")
    _run("syslinux", "--install", "--offset", str(PARTITION_START), str(raw))
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image))
    return image


def _run(*command: str, cwd: Path | None = None, input: str | None = None, check: bool = True) -> str:
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        raise CannotBuild(f"{command[0]} is not installed; `make setup` installs it")
    environment = {**os.environ, "LC_ALL": "C", "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run(
        [program, *command[1:]], cwd=cwd, input=input, capture_output=True, text=True, env=environment, check=False
    )
    if check and done.returncode:
        raise CannotBuild(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    print(guest_image())
