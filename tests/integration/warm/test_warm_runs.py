# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook that a warm server runs is run as the ordinary ansible-playbook runs it."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from runner_service.warm.keeper import Keeper, write_shim
from tests.integration.warm.conftest import ORDINARY, Warm
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

INVENTORY = "all: {hosts: {a: {}, b: {number: 2}}, vars: {ansible_connection: local}}"
PLAY = """
- hosts: all
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
"""


def play(warm: Warm, tasks: str) -> tuple[str, ...]:
    warm.write("inventory.yml", INVENTORY)
    return "--forks=1", "--inventory=inventory.yml", str(warm.write("play.yml", PLAY + tasks))


def is_warm(done: subprocess.CompletedProcess[str]) -> bool:
    return "not warm" not in done.stderr


TASKS = """
  - ansible.builtin.debug:
      msg: "{{ [ansible_check_mode, ansible_diff_mode, ansible_verbosity, ansible_forks, ansible_version.full,
        ansible_limit | default, ansible_run_tags, ansible_skip_tags, ansible_inventory_sources, extra | default] }}"
  - ansible.builtin.debug: {msg: "{{ number | default(1) }} {{ lookup('env', 'COLOUR') }}"}
  - ansible.builtin.command: {cmd: "sh -c 'umask; pwd; echo $COLOUR'"}
    register: said
    changed_when: false
  - ansible.builtin.debug: {var: said.stdout_lines}
  - millwright.virt.hypervisor_info: {hypervisor_type: fake, url: "fake:///nowhere"}
    ignore_errors: true
  - ansible.builtin.fail: {msg: no}
    when: number is defined
"""


@pytest.mark.parametrize(
    "options",
    [(), ("--check", "-e", "extra=1"), ("--limit", "a"), ("-v", "--diff"), ("--list-tasks",), ("--nonsense",)],
)
def test_both_ways_say_the_same(warm: Warm, options: tuple[str, ...]) -> None:
    arguments = (*play(warm, TASKS), *options)
    done, ordinary = (way(*arguments, COLOUR="blue") for way in (warm.run, warm.run_ordinary))
    assert is_warm(done)
    assert done.returncode == ordinary.returncode
    assert timeless(done.stdout) == timeless(ordinary.stdout)
    assert done.stderr == ordinary.stderr


def timeless(text: str) -> str:
    return re.sub(r'"(start|end|delta)": "[^"]*"', "", text)


def test_a_run_leaves_nothing(warm: Warm) -> None:
    def left() -> list[Path]:
        return sorted((warm.directory.parent / "ansible" / "tmp").iterdir())

    before = left()
    assert warm.run(*play(warm, "  - ansible.builtin.command: {cmd: 'true'}\n")).returncode == 0
    assert left() == before


def test_it_reads_what_it_is_told(warm: Warm) -> None:
    arguments = play(warm, "  - ansible.builtin.pause: {prompt: 'Name?'}\n    register: told\n    run_once: true\n")
    done = warm.run(*arguments, told="me\n")
    assert is_warm(done)
    assert done.returncode == 0


def test_nobody_else_may_use_it(warm: Warm) -> None:
    assert stat.S_IMODE(warm.keeper.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(warm.keeper.directory.stat().st_mode) == 0o700


SLEEP = "  - ansible.builtin.command: {cmd: 'sleep 4217'}\n"


def sleeping(warm: Warm, **environment: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A playbook in mid-run, and the processes that its task has started."""
    process = warm.start(*play(warm, SLEEP), "--forks=2", **environment)
    wait_until(lambda: len(sleepers(warm)) == 2, 30, "both hosts sleep")
    return process, sleepers(warm)


def sleepers(warm: Warm) -> list[int]:
    """Of this test: they stand in its directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == b"sleep\x004217\0" and (
                process / "cwd"
            ).readlink() == warm.directory:
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_its_end_is_the_end_of_all_that_it_started(warm: Warm) -> None:
    process, _ = sleeping(warm)
    process.kill()
    process.communicate()
    wait_until(lambda: not sleepers(warm), 20, "nothing sleeps any more")
    assert warm.run(*play(warm, "  - meta: noop\n")).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_does_what_it_does_the_ordinary_way(warm: Warm, number: int) -> None:
    process, _ = sleeping(warm)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    ordinary = subprocess.Popen(
        [str(warm.shim), *play(warm, SLEEP), "--forks=2"], cwd=warm.directory,
        env={**warm.environment, "ANSIBLE_NOCOLOR": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip  # a setting that the server does not have: not warm
    wait_until(lambda: len(sleepers(warm)) == 2, 30, "both hosts sleep")
    ordinary.send_signal(number)
    ordinary.communicate(timeout=30)
    assert process.returncode == ordinary.returncode
    assert "not warm" not in err


def test_a_playbook_that_is_killed_is_a_run_that_is_killed(warm: Warm) -> None:
    process, asleep = sleeping(warm)
    workers = {parent_of(sleeper) for sleeper in asleep}
    os.kill(playbook_of(warm), signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    for left in (*workers, *asleep):  # as with the ordinary ansible-playbook, which nobody can clean up behind
        with suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def playbook_of(warm: Warm) -> int:
    """The process that a server has forked for the only run."""
    children = Path(f"/proc/{warm.keeper.pid}/task/{warm.keeper.pid}/children").read_text().split()
    (playbook,) = children
    return int(playbook)


def test_a_run_shows_itself_as_what_it_is(warm: Warm) -> None:
    process, _ = sleeping(warm, AWX_ISOLATED_DATA_DIR=str(warm.directory), COLOUR="blue")
    shown = Path(f"/proc/{playbook_of(warm)}")
    assert (shown / "environ").read_bytes().startswith(f"AWX_ISOLATED_DATA_DIR={warm.directory}\0".encode())
    assert b"\0COLOUR=blue\0" in (shown / "environ").read_bytes()
    assert (shown / "cmdline").read_bytes().startswith(b"ansible-playbook\0--forks=1\0--inventory=inventory.yml\0")
    process.kill()
    process.communicate()


def test_a_run_outlives_its_server(warm: Warm) -> None:
    arguments = play(warm, "  - ansible.builtin.command: {cmd: 'sleep 1'}\n")
    process = warm.start(*arguments)
    wait_until(lambda: _runs(warm), 20, "the run has begun")
    os.kill(warm.keeper.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "changed=1" in out
    assert "not warm" not in err


def _runs(warm: Warm) -> bool:
    return bool(Path(f"/proc/{warm.keeper.pid}/task/{warm.keeper.pid}/children").read_text().split())


def test_results_are_the_same_with_another_server(warm: Warm) -> None:
    """Plain ansible-playbook serves while there is none, and a new one serves afterwards."""
    arguments = play(warm, "  - ansible.builtin.debug: {msg: hello}\n")
    before = warm.run(*arguments)
    gone = warm.keeper.pid
    os.kill(gone, signal.SIGKILL)
    wait_until(lambda: not _is_there(gone), 20, "it is gone")
    between = warm.run(*arguments)
    assert not is_warm(between)
    warm.keeper.alive()
    assert warm.keeper.pid != gone
    wait_until(lambda: is_warm(warm.run(*arguments)), 60, "the next one serves")
    assert before.stdout == between.stdout == warm.run(*arguments).stdout


def _is_there(process: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    "other",
    [{"ANSIBLE_NOCOLOR": "1"}, {"ANSIBLE_COLLECTIONS_PATH": "/nowhere"}, {"HOME": "/"}, {"ANSIBLE_CONFIG": "mine.cfg"}],
    ids=lambda other: next(iter(other)),
)
def test_whoever_wants_other_settings_gets_them(warm: Warm, other: dict[str, str]) -> None:
    warm.write("mine.cfg", "[defaults]\nnocows = true\n")
    arguments = play(warm, "  - ansible.builtin.debug: {msg: hello}\n")
    done = warm.run(*arguments, **other)
    assert not is_warm(done)
    assert "other settings" in done.stderr
    assert done.stdout == warm.run_ordinary(*arguments, **other).stdout


def test_settings_beside_the_playbook_count(warm: Warm) -> None:
    arguments = play(warm, "  - ansible.builtin.debug: {msg: hello}\n")
    assert is_warm(warm.run(*arguments))
    warm.write("ansible.cfg", "[defaults]\nany_errors_fatal = true\n")
    assert not is_warm(warm.run(*arguments))


def test_memory_does_not_grow(warm: Warm) -> None:
    arguments = play(warm, "  - meta: noop\n")
    assert warm.run(*arguments).returncode == 0
    before = resident(warm.keeper.pid)
    for _ in range(30):
        assert warm.run(*arguments).returncode == 0
    assert resident(warm.keeper.pid) - before < 1024
    assert len(list(Path(f"/proc/{warm.keeper.pid}/fd").iterdir())) < 20


def resident(process: int) -> int:
    """KiB."""
    (size,) = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(size)


def test_runs_at_once_do_not_mix(warm: Warm) -> None:
    arguments = play(warm, "  - ansible.builtin.debug: {msg: \"said {{ lookup('env', 'COLOUR') }}\"}\n")
    running = {colour: warm.start(*arguments, COLOUR=colour) for colour in ("red", "green", "blue")}
    for colour, process in running.items():
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "not warm" not in err
        assert set(re.findall(r"said (\w+)", out)) == {colour}


OWN_CALLBACK = """
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "stdout", "default"

    def v2_runner_on_ok(self, result):
        self._display.display("OURS: " + result._host.name)
"""


def test_plugins_of_the_playbooks_own_are_used_under_names_that_ansible_has_too(warm: Warm) -> None:
    (warm.directory / "callback_plugins").mkdir()
    warm.write("callback_plugins/default.py", OWN_CALLBACK)
    arguments = play(warm, "  - ansible.builtin.debug: {msg: hello}\n")
    done = warm.run(*arguments)
    assert is_warm(done)
    assert "OURS: a" in done.stdout
    assert done.stdout == warm.run_ordinary(*arguments).stdout


def serving(warm: Warm, name: str, environment: dict[str, str]) -> Warm:
    """Another server, with settings of its own."""
    keeper = Keeper(warm.directory.parent / name, environment)
    shim = write_shim(warm.directory.parent / f"{name}-bin", keeper.socket, str(ORDINARY))
    one = Warm(keeper, shim, warm.directory, environment)
    one.wait_until_ready()
    return one


def test_what_ansible_logs_is_in_the_file_that_is_there_and_nowhere_else(warm: Warm) -> None:
    log = warm.directory / "ansible.log"
    arguments = play(warm, "  - ansible.builtin.debug: {msg: hello}\n")
    one = serving(warm, "logging", {**warm.environment, "ANSIBLE_LOG_PATH": str(log)})
    try:
        done = one.run(*arguments)
        assert is_warm(done)
        assert "hello" in log.read_text()
        assert done.stderr == ""
        log.rename(warm.directory / "ansible.log.1")
        assert is_warm(one.run(*arguments))
        assert "hello" in log.read_text(), "it was rotated"
    finally:
        one.keeper.close()


def test_a_server_that_is_out_of_date_is_replaced_while_its_last_run_goes_on(warm: Warm) -> None:
    plugins = warm.directory.parent / "callbacks"
    plugins.mkdir()
    one = serving(warm, "stale", {**warm.environment, "ANSIBLE_CALLBACK_PLUGINS": str(plugins)})
    try:
        long = one.start(*play(one, "  - ansible.builtin.command: {cmd: 'sleep 30'}\n"))
        wait_until(lambda: _runs(one), 20, "the run has begun")
        old = one.keeper.pid
        (plugins / "more.py").write_text("")
        one.write("short.yml", PLAY + "  - ansible.builtin.debug: {msg: hello}\n")
        short = ("--inventory=inventory.yml", "short.yml")
        assert not is_warm(one.run(*short))

        def is_replaced() -> bool:
            one.keeper.alive()
            return one.keeper.pid != old

        wait_until(is_replaced, 20, "another server")
        wait_until(lambda: is_warm(one.run(*short)), 60, "it serves")
        assert long.poll() is None
        assert _is_there(old)
        long.terminate()
        long.communicate()
        wait_until(lambda: one.keeper.alive() or not _is_there(old), 20, "the old one to end with its last run")
    finally:
        one.keeper.close()
