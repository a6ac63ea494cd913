# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page that lists what the API can do, made from its OpenAPI document; it loads nothing from elsewhere."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template_string, url_for

blueprint = Blueprint("docs", __name__)

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{ document.info.title }}</title>
<style>body{font:16px/1.5 system-ui;margin:2rem auto;max-width:60rem;padding:0 1rem}td{padding:.2rem .8rem .2rem 0}
code{white-space:nowrap}</style>
<h1>{{ document.info.title }} {{ document.info.version }}</h1>
<p>Send <code>Authorization: Bearer TOKEN</code>; <code>millwright token create NAME</code> makes a token.
The whole description, for tools: <a href="{{ url }}">openapi.json</a>.</p>
{% for tag in document.tags %}<h2>{{ tag.name }}</h2><p>{{ tag.description }}.</p><table>
{% for path, operations in document.paths.items() %}{% for method, operation in operations.items()
if method != "parameters" and tag.name in operation.tags %}
<tr><td><code>{{ method|upper }} {{ path }}</code><td>{{ operation.summary }}
{% endfor %}{% endfor %}</table>{% endfor %}"""


@blueprint.get("/docs")
def page() -> str:
    document = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
    return render_template_string(_PAGE, document=document, url=url_for("api-docs.openapi_json"))
