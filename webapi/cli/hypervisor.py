# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors: where VMs run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from webapi.cli.client import Json
from webapi.cli.lookup import DATACENTER, HYPERVISOR, find, find_id
from webapi.cli.noun import limit_option, name_argument, noun, read_sessions, wait_option
from webapi.cli.output import Columns, field, short_id
from webapi.cli.session import Session, pass_session


def _free_memory(hypervisor: Json) -> str:
    host = hypervisor["host"]
    return f"{host['free_memory_mib']}/{host['memory_mib']}" if host else ""


COLUMNS: Columns = {
    "Name": field("name"),
    "Type": field("type"),
    "State": field("state"),
    "Cores": lambda hypervisor: (hypervisor["host"] or {}).get("cores"),
    "Free MiB": _free_memory,
    "Sessions": field("effective_sessions"),
    "ID": short_id,
}


@noun("hypervisor")
def hypervisor() -> None:
    """Hypervisors: where VMs run."""


@hypervisor.command("list")
@click.option("--datacenter", metavar="NAME|ID", help="Only those of this datacenter.")
@limit_option
@pass_session
def list_(session: Session, datacenter: str | None, limit: int) -> None:
    """List hypervisors."""
    where = find_id(session.client, DATACENTER, datacenter)
    session.show_list(session.client.listing(HYPERVISOR.path, limit=limit, datacenter_id=where), COLUMNS)


@hypervisor.command()
@name_argument
@pass_session
def show(session: Session, name: str) -> None:
    """Show a hypervisor whole.

    This includes what it said about itself when it was last discovered.
    """
    session.show(find(session.client, HYPERVISOR, name))


def _read_password(_context: click.Context, _parameter: click.Parameter, wanted: bool) -> str | None:  # noqa: FBT001  # click calls it so
    if not wanted:
        return None
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")


def _own_sessions(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    return None if value is None else read_sessions(context, parameter, value)


def _read_certificates(_context: click.Context, _parameter: click.Parameter, path: str | None) -> str | None:
    """What the file holds, empty for the word that means those of the runners' hosts."""
    if path in (None, "default"):
        return path and ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{path} holds no certificates in PEM") from error


@hypervisor.command()
@click.argument("name")
@click.option(
    "--type", "type_", required=True, metavar="TYPE", help="Kind of hypervisor: libvirt, vsphere, or fake to try out."
)
@click.option("--url", required=True, help="Address of its management, as seen by the runners: qemu:///system.")
@click.option("--datacenter", required=True, metavar="NAME|ID", help="The datacenter whose runners reach it.")
@click.option("--username", help="Account at the hypervisor.")
@click.option(
    "--password-stdin", "password", is_flag=True, callback=_read_password,
    help="Read the account's password from standard input, or ask on a terminal. It is never an argument: those are "
    "seen by everybody on the machine.",
)  # fmt: skip
@click.option("--validate-certs/--no-validate-certs", default=True, help="Whether its certificate must be trusted.")
@click.option(
    "--ca-file", "ca_certificates", metavar="FILE", callback=_read_certificates,
    help="Certificates in PEM of the authorities that runners are to trust, instead of those of their hosts. The file "
    "is read here and sent.",
)  # fmt: skip
@click.option("--open-sessions", type=click.IntRange(min=1), help="Operations that it may run at a time.")
@wait_option
@pass_session
def register(session: Session, /, datacenter: str, *, wait: bool, **fields: str | int | bool | None) -> None:
    """Make a hypervisor known and test it.

    The test connects to it, and learns what it is and has free. If it fails the hypervisor stays known, as UNREACHABLE;
    millwright hypervisor discover tests it again.
    """
    fields["type"] = fields.pop("type_")
    body = {name: value for name, value in fields.items() if value not in (None, "")}
    where = find(session.client, DATACENTER, datacenter)
    task = session.client.post(HYPERVISOR.path, {**body, "datacenter_id": where["id"]})
    try:
        session.finish(task, wait=wait)
    except click.exceptions.Exit:
        _say_what_stays(session, task["owner"]["id"])
        raise


def _say_what_stays(session: Session, id: str) -> None:
    """A test that failed leaves the hypervisor known; registering it again would be refused."""
    found = find(session.client, HYPERVISOR, id)
    if (name := found["name"]) and found["state"] == "UNREACHABLE":
        click.echo(
            f"\n{name} is registered, as UNREACHABLE. When it can be reached: millwright hypervisor discover {name}\n"
            f"To give it another address or account: millwright hypervisor delete {name}, then register it again.",
            err=True,
        )


@hypervisor.command()
@name_argument
@wait_option
@pass_session
def discover(session: Session, name: str, *, wait: bool) -> None:
    """Test the connection again.

    What the hypervisor is and has free is learnt anew.
    """
    found = find(session.client, HYPERVISOR, name)
    session.finish(session.client.post(HYPERVISOR.one(found["id"], "discover")), wait=wait)


@hypervisor.command("set")
@name_argument
@click.option(
    "--open-sessions", callback=_own_sessions, metavar="N|default",
    help="Operations that it may run at a time; default: what holds in general.",
)  # fmt: skip
@click.option(
    "--ca-file", "ca_certificates", metavar="FILE|default", callback=_read_certificates,
    help="Certificates in PEM of the authorities that runners are to trust; default: those of the runners' hosts.",
)  # fmt: skip
@pass_session
def set_(session: Session, /, name: str, **fields: int | str | None) -> None:
    """Change its bound, or whom runners trust.

    The bound is how many operations it may run at a time; never more run than it has cores. Runners learn of it within
    seconds; what runs is let run. Work that was asked for before trusts as it did.
    """
    body = {field: value or None for field, value in fields.items() if value is not None}
    if not body:
        raise click.UsageError("Give --open-sessions, --ca-file or both.")
    found = find(session.client, HYPERVISOR, name)
    changed = session.client.patch(HYPERVISOR.one(found["id"]), body)
    session.made(changed, "\n".join(_told(changed, body)))


def _told(changed: Json, body: Json) -> Iterator[str]:
    name = changed["name"]
    if "open_sessions" in body:
        yield f"Hypervisor {name} runs at most {changed['effective_sessions']} operations at a time."
    if "ca_certificates" in body:
        whom = "the given authorities" if changed["ca_certificates"] else "the authorities of their hosts"
        yield f"Runners trust {whom} at {name}. To test it: millwright hypervisor discover {name}"


@hypervisor.command()
@name_argument
@pass_session
def delete(session: Session, name: str) -> None:
    """Forget a hypervisor that has no VMs of ours.

    Nothing happens to the machine itself.
    """
    session.delete(HYPERVISOR, name)
