# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom. The table is the rule and the test; a row is loosened only with a reason in ARCHITECTURE.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = "ansible_collections.millwright.virt.plugins"
VM = "module_utils/vm"
CONTRACT = "runner_service/contract"
WEB = {
    "flask",
    "flask_sqlalchemy",
    "flask_migrate",
    "flask_smorest",
    "marshmallow",
    "sqlalchemy",
    "alembic",
    "werkzeug",
}

#: Code in a folder (the longest matching path wins) -> what it may import besides the standard library and itself.
MAY_IMPORT: dict[str, set[str]] = {
    VM: set(),
    "module_utils/drivers": {VM},
    # progress says how far an operation is to whoever runs it: any driver may, and it knows no driver.
    "module_utils/drivers/fake": {
        VM, "module_utils/drivers/base", "module_utils/drivers/errors", "module_utils/drivers/snapshots",
        "module_utils/drivers/hot", "module_utils/drivers/capture", "module_utils/drivers/mending",
        "module_utils/progress",
    },
    # alone keeps processes of one host apart, and knows no driver either.
    "module_utils/drivers/libvirt": {
        VM, "module_utils/drivers/base", "module_utils/drivers/errors", "module_utils/drivers/alone", "libvirt",
        "libvirt_qemu", "pycdlib", "module_utils/progress",
    },
    "module_utils/drivers/vsphere": {
        VM, "module_utils/drivers/base", "module_utils/drivers/errors", "module_utils/drivers/alone", "pyVmomi",
    },
    "module_utils": {"module_utils", "ansible"},
    "modules": {"module_utils", "ansible"},
    "action": {"module_utils", "ansible"},
    # yaml tells where a person's file is none; ansible's own loader would quote what stands there. jinja2 has the error
    # of a template whose variables are not there yet.
    "plugin_utils": {"module_utils", "ansible", "yaml", "jinja2"},
    "filter": {"modules/vm", "plugin_utils"},
    "lookup": {"ansible"},
    "inventory": {"module_utils", "plugin_utils", "ansible"},
    "doc_fragments": set(),
    CONTRACT: {VM},
    "runner_service/core": {CONTRACT, VM},
    "runner_service/queue_manager": {"runner_service", "pika"},
    # yaml writes the inventory; nacl names the type of the key that a run's credentials are opened with.
    "runner_service/workers": {"runner_service", VM, "ansible_runner", "yaml", "nacl"},
    # Ansible's internals, which it loads once for all runs; nothing else here knows them.
    "runner_service/warm": {"runner_service", "click"},
    "runner_service/warm/playbooks": {"runner_service/warm", "ansible"},
    "runner_service/warm/kept_workers": {"runner_service/warm", "ansible"},
    "runner_service/warm/differences": {"ansible"},
    "runner_service/warm/fitness": {"ansible"},
    # click is the command line's; nacl opens what the API sealed; prometheus_client shows the runner's figures.
    "runner_service": {"runner_service", VM, "click", "nacl", "prometheus_client"},
    "webapi/messaging": {"webapi", CONTRACT, VM, "pika", "sqlalchemy", "flask"},
    # The command line is a client like any other: it knows the API by HTTP alone.
    "webapi/cli": {VM, "click", "rich", "httpx", "yaml"},
    # nacl seals credentials to the datacenter's key; gunicorn and click start the service; prometheus_client shows its
    # figures; yaml writes the inventory with which a person runs a job by hand.
    "webapi": {"webapi", CONTRACT, VM, "nacl", "click", "gunicorn", "prometheus_client", "yaml"} | WEB,
}  # fmt: skip


def place_of(file: Path) -> str:
    """Where a file stands, in the words of the table."""
    path = file.relative_to(ROOT).as_posix()
    return path.removeprefix("collection/plugins/").removesuffix(".py")


def row_of(place: str) -> str | None:
    rows = [row for row in MAY_IMPORT if place == row or place.startswith(row + "/")]
    return max(rows, key=len, default=None)


def dotted(file: Path) -> list[str]:
    """The package that a file's relative imports start from."""
    place = place_of(file).split("/")
    inside = COLLECTION.split(".") if "collection/plugins" in file.as_posix() else []
    return [*inside, *place[:-1]]


def imports(file: Path) -> Iterator[str]:
    """Full names of what a file imports; `from a import b` gives a.b, because b may be a module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = dotted(file)
            start = package[: len(package) - node.level + 1] if node.level else []
            base = [*start, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def target_of(name: str) -> str:
    """An imported name in the words of the table."""
    if name.startswith(COLLECTION + "."):
        return name.removeprefix(COLLECTION + ".").replace(".", "/")
    parts = name.split(".")
    return "/".join(parts) if parts[0] in ("runner_service", "webapi") else parts[0]


def allowed(row: str, target: str) -> bool:
    may = MAY_IMPORT[row] | {row}
    return target.split("/")[0] in sys.stdlib_module_names or any(
        target == prefix or target.startswith(prefix + "/") for prefix in may
    )


def sources() -> list[Path]:
    folders = ("collection/plugins", "runner_service", "webapi")
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("file", sources(), ids=place_of)
def test_a_file_imports_only_what_its_folder_may(file: Path) -> None:
    row = row_of(place_of(file))
    assert row is not None, f"{place_of(file)} is in a folder that the table does not know"
    wrong = [name for name in imports(file) if not allowed(row, target_of(name))]
    assert not wrong, f"code in {row} may not import {', '.join(wrong)}"


@pytest.mark.parametrize("row", MAY_IMPORT)
def test_every_row_of_the_table_names_a_folder_that_exists(row: str) -> None:
    assert any(
        (place / row).is_dir() or (place / f"{row}.py").exists() for place in (ROOT, ROOT / "collection/plugins")
    )


def test_only_settings_read_the_environment() -> None:
    # A warm run has the environment of whoever wants it: the shim hands it over.
    services = [file for file in sources() if place_of(file).startswith(("runner_service", "webapi"))]
    readers = [place_of(file) for file in services if "os.environ" in file.read_text() or "getenv" in file.read_text()]
    handed_over = {
        f"runner_service/warm/{name}" for name in ("shim", "playbooks", "kept_workers", "fitness", "commands")
    }
    assert set(readers) <= {"runner_service/settings", "webapi/settings"} | handed_over


@pytest.mark.parametrize("file", sources(), ids=place_of)
def test_every_file_says_its_licence(file: Path) -> None:
    assert "SPDX-License-Identifier: GPL-3.0-or-later" in "\n".join(file.read_text().splitlines()[:4])
