#!/usr/bin/env bash
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs a command with the rights of the group libvirt, which a user who has just joined it gets by logging in again only.
set -euo pipefail
group=libvirt
if [ "$(id -u)" -ne 0 ] && ! id -nG | grep -qw "$group" && id -nG "$(id -un)" | grep -qw "$group"; then
    exec sg "$group" -c "$(printf '%q ' "$@")"
fi
exec "$@"
