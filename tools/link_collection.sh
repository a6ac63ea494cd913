#!/usr/bin/env bash
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Shows this checkout to Ansible as the collection millwright.virt: with collections_path at .collections, what is edited
# is what runs. The link is relative, so that it survives a moved checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .collections/ansible_collections/millwright
ln -sfn ../../.. .collections/ansible_collections/millwright/virt
