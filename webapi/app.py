# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Flask application: the only place where its parts are put together."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from flask import Flask
from flask_migrate import Migrate
from sqlalchemy import event

from . import auth, error_answers, models, routes
from .database import db, engine_options
from .error_answers import MillwrightApi
from .routes import docs, metrics
from .schemas.tasks import JobSchema
from .settings import Settings

MIGRATIONS = Path(__file__).with_name("migrations")

#: Room for an appliance of a thousand VMs with cloud-init data.
_MAX_BODY_BYTES = 16 * 1024 * 1024


def create_app(settings: Settings) -> Flask:
    """The API, ready to serve; its database need not be there yet."""
    app = Flask(__name__, static_folder=None)
    app.config.update(_configuration(settings))
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    db.init_app(app)
    Migrate(app, db, directory=str(MIGRATIONS), compare_type=True)
    _enforce_references_on_sqlite(app)
    _serve(app)
    return app


def _configuration(settings: Settings) -> dict[str, Any]:
    return {
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(settings.database_url),
        "MAX_CONTENT_LENGTH": _MAX_BODY_BYTES,
        "API_TITLE": "Millwright",
        "API_VERSION": "v1",
        "OPENAPI_VERSION": "3.0.3",
        "OPENAPI_URL_PREFIX": routes.BASE,
        "OPENAPI_JSON_PATH": "openapi.json",
        "API_SPEC_OPTIONS": {
            "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
            "security": [{"token": []}],
        },
    }


def _serve(app: Flask) -> None:
    auth.require_token(app)
    api = MillwrightApi(app)
    api.spec.components.schema("Job", schema=JobSchema)
    routes.register(api)
    app.register_blueprint(docs.blueprint, url_prefix=routes.BASE)
    app.register_blueprint(metrics.blueprint)
    error_answers.register(app)


def _enforce_references_on_sqlite(app: Flask) -> None:
    """SQLite checks foreign keys only when every connection asks for it."""
    with app.app_context():
        event.listen(db.engine, "connect", _ask_for_references)


def _ask_for_references(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA foreign_keys = ON")


__all__ = ["create_app", "models"]
