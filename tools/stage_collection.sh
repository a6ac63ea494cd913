#!/usr/bin/env bash
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes the tree that a release of the collection is built from: tools/stage_collection.sh DIRECTORY
# Afterwards DIRECTORY/ansible_collections/millwright/virt holds the collection alone, without links.
# It must be outside the repository: Ansible's tools leave out what git ignores.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -eq 1 ] || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
stage=$1/ansible_collections/millwright/virt
[ ! -e "$stage" ] || { echo "$stage is there already; give an empty directory" >&2; exit 1; }
mkdir -p "$stage"
cp -RL "$root/collection/." "$stage"
cp -R "$root/playbooks" "$stage"
# It is of use in a checkout alone, and needs a collection that a release does not.
rm "$stage/playbooks/awx_setup.yml"
cp "$root/COPYING" "$stage"
# The paths in galaxy.yml are the repository's, and here is nothing to leave out.
sed -e 's|^readme: collection/|readme: |' -e '/^# What is not/,$d' "$root/galaxy.yml" >"$stage/galaxy.yml"
find "$stage" -name __pycache__ -prune -exec rm -rf {} +
echo "$stage"
