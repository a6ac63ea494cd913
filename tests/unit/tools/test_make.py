# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_make_prints_every_target_with_what_it_does():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = (line.split() for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY"))
    assert {f"make {name}" for name in next(targets)[1:]} <= {
        " ".join(line.split()[:2]) for line in listed.splitlines()
    }


def test_the_collection_link_is_relative_and_made_twice_without_harm(tmp_path: Path):
    (tmp_path / "tools").mkdir()
    script = tmp_path / "tools" / "link_collection.sh"
    script.write_text((ROOT / "tools" / "link_collection.sh").read_text())
    for _ in range(2):
        subprocess.run(["bash", script], check=True)
    link = tmp_path / ".collections" / "ansible_collections" / "millwright" / "virt"
    assert not link.readlink().is_absolute()
    assert link.resolve() == tmp_path


def sourced(script: str) -> str:
    """What these lines print where tools/setup.sh was read and did nothing yet."""
    lines = f"source {ROOT}/tools/setup.sh\n{script}"
    return subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("target", "levels"),
    [
        ("demo", "run"),
        ("chaos", "run"),
        ("bench", "run"),
        ("lint", "check"),
        ("check", "check"),
        ("test", "test check"),
    ],
)
def test_a_target_installs_what_it_needs_and_no_more(target: str, levels: str):
    would = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    called = [line.split()[1] for line in would.splitlines() if line.startswith("tools/setup.sh")]
    assert called == levels.split()


@pytest.mark.parametrize("module", ["tools.demo.__main__", "tools.chaos.__main__", "tools.bench_all.__main__"])
def test_what_runs_needs_no_tools_of_developers(module: str):
    absent = ("pytest", "hypothesis", "xdist", "ruff", "mypy", "ansiblelint", "molecule", "sphinx")
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import {module}; print('loaded')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("loaded\n", 0), done.stderr


def test_only_tests_want_the_packages_of_the_simulator():
    assert "golang-go" not in sourced("wanted_packages run") + sourced("wanted_packages check")
    assert "ovmf" not in sourced("wanted_packages run") + sourced("wanted_packages check")
    assert {"golang-go", "ovmf", "rabbitmq-server"} <= set(sourced("wanted_packages test").split())


def test_a_long_step_names_its_log_and_shows_that_it_is_alive(tmp_path: Path):
    quick = "sleep() { command sleep 0.1; }"
    said = sourced(f"LOGS={tmp_path}\n{quick}\nstep slow 'Taking long' command sleep 1\necho and on")
    first, last = said.splitlines()
    assert first.startswith(f"Taking long (log: {tmp_path}/slow.log) ..") and "ok (" in first
    assert last == "and on"


def test_a_step_that_fails_shows_the_end_of_its_log(tmp_path: Path):
    said = sourced(f"LOGS={tmp_path}\n( step bad 'Failing' bash -c 'echo no room; exit 3' ) || echo refused")
    assert "FAILED" in said and "no room" in said and said.endswith("refused\n")


def test_an_environment_for_tests_is_one_for_running_and_not_the_other_way_round(tmp_path: Path):
    ask = "for level in run check test; do has $level && printf '%s ' $level; done; true"
    begin = f"cd {tmp_path}; mkdir .venv; stamp() {{ echo now; }}\n"
    assert sourced(f"{begin}done_with check\n{ask}") == "run check "
    assert sourced(f"cd {tmp_path}; stamp() {{ echo changed; }}\n{ask}") == ""
