#!/usr/bin/env bash
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Writes a page for each module, role and plugin of the collection: tools/collection_docs.sh DIRECTORY
# Afterwards DIRECTORY holds these pages and nothing else. They are made of what the code says, and kept nowhere.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
(umask 022 && mkdir -p "$1")
export PATH=$root/.venv/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$root/.collections
antsibull-docs collection-plugins --use-current --fail-on-error --output-format simplified-rst --cleanup everything \
    --dest-dir "$1" millwright.virt
