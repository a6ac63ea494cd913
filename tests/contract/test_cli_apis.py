# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line's fake API promises nothing that the real one does not keep: the same words get the same answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from api_peers import PEERS
from click.testing import CliRunner

from webapi.cli import tree
from webapi.cli.main import main

SHOP = """\
name: shop
virtualdatacenter: lab
vms:
  - {name: web1, template: tiny, memory_mib: 256}
  - {name: broken, template: tiny, memory_mib: 256}
"""
WRONG = "{name: x, virtualdatacenter: lab, vms: [{name: web1, memory_mib: 4, cpus: 2}]}"

#: What a person types, one after the other, in a folder with the files shop.yml and vm.yml.
TYPED = [
    "datacenter create dc1",
    "datacenter create dc1",
    "datacenter list",
    "hypervisor register kvm-1 --type libvirt --url qemu:///system --datacenter dc1",
    "hypervisor list --datacenter dc1",
    "hypervisor show kvm-1",
    "hypervisor discover kvm-1",
    "hypervisor set kvm-1 --open-sessions 4",
    "hypervisor set kvm-1 --open-sessions default",
    "sessions set 3 --type libvirt --power-passes",
    "sessions show",
    "hypervisor show kvm-1",
    "sessions set default --type libvirt",
    "sessions set 5",
    "runners",
    "runners show nobody",
    "template create tiny --datacenter dc1 --path /images/tiny.qcow2",
    "template list --datacenter dc1",
    "vdc create lab --datacenter dc1 --type libvirt",
    "vdc set lab --open-sessions 1",
    "vdc list",
    "vapp create empty --vdc lab",
    "vapp deploy empty",
    "vapp delete empty",
    "vapp create -f shop.yml",
    "vapp create -f wrong.yml",
    "vapp list --vdc lab",
    "vapp show shop",
    "vm power on web1",
    "vm create db --vapp shop --template tiny --memory-mib 4",
    "vm create db --vapp shop --template tiny --memory-mib 64 --hypervisor kvm-1",
    "vm reconfigure db --cpus 2",
    "vm deploy db",
    "vm deploy db",
    "vm reconfigure db --memory-mib 128 --allow-power-cycle --timeout 30",
    "vm power pause db",
    "vm power resume db",
    "vm snapshot list db",
    "vm snapshot create db first --description early",
    "vm snapshot create db first",
    "vm snapshot create db 7",
    "vm snapshot create db second --memory",
    "vm snapshot list db",
    "vm snapshot revert db first",
    "vm snapshot list db",
    "vm snapshot revert db nothing",
    "vm snapshot delete db second",
    "vm snapshot delete db first --children",
    "vm snapshot list db",
    "vm capture db golden",
    "vm reconfigure db --cpus 3",
    "vm power shutdown db --timeout 60 --force",
    "vm capture db golden",
    "vm capture db golden",
    "template show golden",
    "template delete golden",
    "vm reconfigure db --memory-mib 128 --rename data",
    "vm refresh data",
    "vm delete data",
    "vm undeploy data",
    "vm delete data",
    "vm create idle --vapp shop --template tiny --memory-mib 64",
    "vm deploy idle --no-wait",
    "vm deploy idle",
    "task cancel {task}",
    "task cancel {task}",
    "vm show idle",
    "task abandon {task} --force --yes",
    "vm deploy idle --no-wait",
    "task abandon {task} --yes",
    "task resend {task}",
    "task cancel {task}",
    "vm delete idle",
    "vapp deploy shop",
    "vapp delete shop",
    "vdc delete lab",
    "template delete tiny",
    "hypervisor delete kvm-1",
    "vapp deploy shop --no-wait",
    "vapp undeploy shop",
    "vm power off broken",
    "vm delete broken",
    "task watch {task}",
    "task show {task}",
    "vm list --vapp shop",
    "vm list --state on",
    "vm undeploy web1",
    "vapp deploy nothing",
    "task list --type deploy",
    "task list --limit 1",
    "event list --severity error",
    "vapp delete shop",
    "vdc delete lab",
    "template delete tiny",
    "hypervisor delete kvm-1",
    "job list --operation power_on --state failed",
    "job show {job}",
    "job replay {job}",
    "job show 00000000-0000-4000-8000-000000000000",
    "dlq list",
    "dlq show {letter}",
    "dlq requeue {letter}",
    "dlq drop {letter} --yes",
    "dlq requeue --all",
    "dlq drop --all --yes",
    "dlq list",
]


@dataclass(frozen=True)
class Answer:
    exit_code: int
    #: The stable codes of errors.
    codes: list[str]
    #: What was answered, in JSON.
    body: Any


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Answer]]]:
    folder = tmp_path_factory.mktemp("typed")
    (folder / "shop.yml").write_text(SHOP)
    (folder / "wrong.yml").write_text(WRONG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(tree, "FIRST_PAUSE", 0.001)
        patch.setattr(tree, "LONGEST_PAUSE", 0.001)
        yield {name: _typed(name, tmp_path_factory) for name in PEERS}


def _typed(name: str, folders: pytest.TempPathFactory) -> list[Answer]:
    answers: list[Answer] = []
    with PEERS[name](folders.mktemp(name)) as (address, token):
        for words in TYPED:
            job, letter = _listed(answers, "operation"), _listed(answers, "queue")
            typed = words.format(task=_last_task(answers), job=job, letter=letter)
            answers.append(_answer(typed, address, token))
    return answers


def _last_task(answers: list[Answer]) -> str:
    tasks = [answer.body["id"] for answer in answers if answer.body and answer.body.get("kind") == "task"]
    return tasks[-1] if tasks else ""


def _listed(answers: list[Answer], field: str) -> str:
    """The first of the last list of what has such a field."""
    lists = [answer.body["items"] for answer in answers if answer.body and answer.body.get("items")]
    found = [items[0]["id"] for items in lists if field in items[0]]
    return found[-1] if found else ""


def _answer(words: str, address: str, token: str) -> Answer:
    arguments = ["--api", address, "--token", token, "-o", "json", *words.split()]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    body = json.loads(result.stdout) if result.stdout else None
    return Answer(result.exit_code, re.findall(r"^Error: .*\[([a-z._]+)\]$", result.stderr, re.M), body)


@pytest.mark.parametrize("place", range(len(TYPED)), ids=lambda place: f"{place:02} {TYPED[place]}")
def test_both_apis_answer_alike(answers, place):
    fake, real = (answers[name][place] for name in ("fake", "real"))
    assert (fake.exit_code, fake.codes) == (real.exit_code, real.codes)
    assert list(_disagreements(fake.body, real.body, "")) == []


#: Fields whose very words matter to a client.
WORDS = {"length", "state", "kind", "type", "operation", "rollback_state", "mode", "code", "severity"}


def _disagreements(fake: Any, real: Any, path: str) -> Iterator[str]:
    """Where the fake says something that the real one does not, or of another type. None is of any type."""
    if fake is None or real is None:
        return
    if type(fake) is not type(real) or (path.rpartition(".")[2] in WORDS and fake != real):
        yield f"{path}: {fake!r} for {real!r}"
    elif isinstance(fake, dict):
        yield from (f"{path}.{key}: not in the real one" for key in fake.keys() - real.keys())
        for key in fake.keys() & real.keys():
            yield from _disagreements(fake[key], real[key], f"{path}.{key}")
    elif isinstance(fake, list):
        yield from _disagreements(dict(enumerate(fake)), dict(enumerate(real)), path)
        yield from _disagreements(len(fake), len(real), f"{path}.length")
