# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the API's part: ``millwright api``, ``relay``, ``db`` and ``token``."""

from __future__ import annotations

import gc
import logging.config
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import flask_migrate
from flask import Flask
from gunicorn.app.base import BaseApplication
from sqlalchemy.exc import OperationalError

from . import logs
from .app import create_app
from .database import db as tables
from .database import utc_now
from .errors import ApiError
from .orphans import end_with_parent
from .services import health, retention, tokens
from .services.retention import Counts
from .settings import MAX_KEEP_DAYS, InvalidSetting, Settings, explained

if TYPE_CHECKING:
    from .messaging.bell import Bell

_NOT_MIGRATED = "the database has not the tables that this version needs; run `millwright db upgrade` first"


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with our app and options, and no configuration of its own."""

    def __init__(self, app: Flask, options: dict[str, Any]):
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._app


def _app() -> Flask:
    return create_app(Settings.from_environment())


def _say_which_database(app: Flask) -> None:
    """Whoever forgot the variable would look for what they made in another one."""
    if app.config["SQLALCHEMY_DATABASE_URI"] == Settings.database_url:
        file = Path(app.instance_path) / Settings.database_url.removeprefix("sqlite:///")
        click.echo(f"DATABASE_URL is not set: the database is {file}", err=True)


@contextmanager
def _said_in_one_line() -> Iterator[None]:
    """A database that cannot be reached is a ClickException with the database's own words."""
    try:
        yield
    except OperationalError as error:
        raise click.ClickException(f"the database does not answer: {error.orig}") from error


def _migrated_app() -> Flask:
    """The app, on a database that has its tables. Raises ClickException, which says what to do.

    It keeps no connection: the workers that gunicorn forks must not share one."""
    app = _app()
    _say_which_database(app)
    with app.app_context():
        with _said_in_one_line():
            migrated = health.migrated()
        tables.engine.dispose()
    if not migrated:
        raise click.ClickException(_NOT_MIGRATED)
    return app


def _keep_shared() -> None:
    """Workers share the memory of what is loaded by now. A garbage collector that looks through it writes into it, and
    so gives each worker a copy of its own."""
    gc.collect()
    gc.freeze()


def _log_configuration(settings: Settings) -> dict[str, Any]:
    """Raises ClickException for a form of logs that there is not."""
    try:
        return logs.configuration(settings.log_format)
    except logs.InvalidFormat as error:
        raise click.ClickException(str(error)) from error


@click.command(epilog=explained())
@click.option("--bind", help="Address and port to listen on.  [default: MILLWRIGHT_API_BIND]")
@click.option("--workers", default=1, show_default=True, help="Processes.")
@click.option("--threads", default=8, show_default=True, help="Threads of each process.")
def api(bind: str | None, workers: int, threads: int) -> None:
    """Serve the REST API."""
    settings = Settings.from_environment()
    options = {
        "bind": bind or settings.api_bind,
        "workers": workers,
        "threads": threads,
        "worker_class": "gthread",
        "proc_name": "millwright-api",
        "logconfig_dict": _log_configuration(settings),
        "pre_fork": lambda _server, _worker: _keep_shared(),
        "post_fork": lambda _server, worker: end_with_parent(worker.ppid),
        # It would be a file in the user's home, the same one for all APIs of the user.
        "control_socket_disable": True,
    }
    _Server(_migrated_app(), options).run()


@click.command(epilog=explained())
def relay() -> None:
    """Carry requests to the broker, and the runners' updates back to the database."""
    from .messaging.relay import Relay

    settings = Settings.from_environment()
    logging.config.dictConfig(_log_configuration(settings))
    window, bell, keep = _said_by(settings, "window_size"), _bell(settings), _said_by(settings, "keep")
    Relay(_migrated_app(), settings.amqp_url, window=window, bell=bell, keep=keep).run_until_signalled()


def _bell(settings: Settings) -> Bell:
    """Raises ClickException where there can be none."""
    from .messaging.bell import Bell

    try:
        return Bell(settings.relay_bell)
    except (OSError, ValueError, OverflowError) as error:
        raise click.ClickException(f"MILLWRIGHT_RELAY_BELL cannot be {settings.relay_bell!r}: {error}") from error


def _said_by(settings: Settings, name: str) -> Any:
    """What a setting says. Raises ClickException for what it cannot be."""
    try:
        return getattr(settings, name)
    except InvalidSetting as error:
        raise click.ClickException(str(error)) from error


@click.group(epilog=explained())
def db() -> None:
    """Look after the database's tables."""


def _with_app(work: Callable[..., Any], **arguments: Any) -> None:
    """On a database that answers: what goes wrong with it afterwards is the migration's doing and keeps its trace."""
    app = _app()
    _say_which_database(app)
    with app.app_context():
        with _said_in_one_line():
            tables.engine.connect().close()
        work(**arguments)


@db.command()
@click.option("--days", type=click.IntRange(1, MAX_KEEP_DAYS), help="Instead of MILLWRIGHT_KEEP_DAYS.")
@click.option("--dry-run", is_flag=True, help="Only say how much would go.")
def prune(days: int | None, *, dry_run: bool) -> None:
    """Forget what ended long ago, as the relay does by itself: tasks with their jobs, events and dead letters.

    What has not ended stays, and so do VMs. The space is the tables' own again; the database's files stay as large as
    they are.
    """
    keep = timedelta(days=days) if days else _said_by(Settings.from_environment(), "keep")
    if keep is None:
        raise click.UsageError("MILLWRIGHT_KEEP_DAYS is 0, so all is kept; give --days")
    with _migrated_app().app_context():
        before = utc_now() - keep
        if dry_run:
            click.echo(f"Would be forgotten: {retention.count_old(before)}.")
            return
        gone = Counts()
        while some := retention.remove_some(before):
            gone += some
        click.echo(f"Forgotten: {gone}.")


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the tables to what this version needs."""
    _with_app(flask_migrate.upgrade, revision=revision)


@db.command()
@click.argument("revision", default="-1")
def downgrade(revision: str) -> None:
    """Take the last change of the tables back, or all after a revision ("base": all)."""
    _with_app(flask_migrate.downgrade, revision=revision)


@db.command()
def current() -> None:
    """Show which revision the tables are at."""
    _with_app(flask_migrate.current)


@db.command()
def history() -> None:
    """Show the revisions there are."""
    with _app().app_context():  # It reads files only.
        flask_migrate.history()


@db.command()
@click.argument("message")
def revision(message: str) -> None:
    """For developers: write a revision from what the models say and the tables lack."""
    _with_app(flask_migrate.migrate, message=message)


@click.group(epilog=explained())
def token() -> None:
    """Make and revoke tokens for the API."""


@token.command("create")
@click.argument("name")
def create_token(name: str) -> None:
    """Make a token and print it. It cannot be read again."""
    with _migrated_app().app_context():
        try:
            click.echo(tokens.create(name))
        except ApiError as error:
            raise click.ClickException(error.message) from error


@token.command("list")
def list_tokens() -> None:
    """List who has a token."""
    with _migrated_app().app_context():
        for row in tokens.list_tokens():
            click.echo(f"{row.created_at:%Y-%m-%d %H:%M:%S}  {row.name}")


@token.command("revoke")
@click.argument("name")
def revoke_token(name: str) -> None:
    """Make a token worthless."""
    with _migrated_app().app_context():
        try:
            tokens.revoke(name)
        except ApiError as error:
            raise click.ClickException(error.message) from error
