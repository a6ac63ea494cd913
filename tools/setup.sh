#!/usr/bin/env bash
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what this project needs and is not there yet: packages of the distribution, a virtual environment, and the
# link that shows the checkout to Ansible as a collection. Running it again with everything there takes a second.
set -euo pipefail
cd "$(dirname "$0")/.."

LOGS=.run/log
STAMP=.venv/.millwright-stamp

# The "core" packages of MariaDB bring programs without a system service.
PACKAGES=(
    gcc pkg-config libvirt-dev # libvirt's Python binding is built from source
    mariadb-server-core mariadb-client-core
    rabbitmq-server
    libvirt-daemon-system libvirt-clients dnsmasq-base qemu-system-x86 qemu-utils
    syslinux syslinux-common mtools fdisk zstd cpio # for the guest's disk
    golang-go golang-github-vmware-govmomi-dev golang-github-google-uuid-dev openssl # for the simulator of a vCenter
)

HAS_HEADERS='import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

# step NAME TEXT COMMAND...: one line on the screen, everything else into a log of its own.
step() {
    local name=$1 text=$2 started=$SECONDS
    shift 2
    printf '%-58s' "$text"
    if "$@" >"$LOGS/$name.log" 2>&1 </dev/null; then
        printf 'ok (%d s)\n' $((SECONDS - started))
    else
        printf 'FAILED\n\nThe end of %s:\n' "$LOGS/$name.log"
        tail -n 25 "$LOGS/$name.log"
        exit 1
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || fail "needs root or sudo for: $*"
        sudo "$@"
    fi
}

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
    done
    # A Python that did not come from the distribution has these two without a package.
    "$PYTHON" -c 'import ensurepip' 2>/dev/null || echo "$PYTHON-venv"
    "$PYTHON" -c "$HAS_HEADERS" || echo "$PYTHON-dev"
}

# The packages bring servers of their own. A policy of "no" keeps apt from starting them, as they are not ours to run;
# libvirtd is the exception, where systemd can run it: guests need it.
install_packages() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\ncase "$1" in *virt*) exit 0 ;; *) exit 101 ;; esac\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    # A machine that has just booted may be busy with its own updates: wait for them.
    as_root apt-get -o DPkg::Lock::Timeout=300 update -q &&
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends "$@"
)

# The newest Python that the pins were tried with, else whatever is new enough.
find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "needs Python 3.11 or newer"
}

make_environment() {
    # A virtual environment that was moved or whose Python is gone is made anew.
    .venv/bin/python -c 'import pip' 2>/dev/null || rm -rf .venv
    [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
    .venv/bin/python -m pip install --disable-pip-version-check -e '.[dev]' && .venv/bin/python -m tools.ansible_checks
}

# Where the checkout is, too: an environment does not survive being moved.
stamp() {
    { pwd; cat pyproject.toml setup.py tools/ansible_checks.py; } | sha256sum
}

# Made anew when its source has changed; the name is the one that tools/vcsim.py gives it.
has_simulator() {
    local sum
    sum=$(sha256sum tests/peers/vcsim/main.go)
    [ -x ".run/vcsim/vcsim-${sum:0:16}" ]
}

may_use_libvirt() {
    [ "$(id -u)" -eq 0 ] || id -nG "$(id -un)" | grep -qw libvirt
}

main() {
    local missing
    [ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null || fail "knows Debian 12 and Ubuntu only"
    mkdir -p "$LOGS"
    PYTHON=$(find_python)
    mapfile -t missing < <(missing_packages)
    if [ ${#missing[@]} -gt 0 ]; then
        # Ask for the password here, where it can be seen, and not in the log.
        [ "$(id -u)" -eq 0 ] || sudo -v
        step packages "Installing ${#missing[@]} packages (apt)" install_packages "${missing[@]}"
    fi
    if [ "$(cat "$STAMP" 2>/dev/null)" != "$(stamp)" ]; then
        step venv "Installing Python packages into .venv" make_environment
        stamp >"$STAMP"
    fi
    if ! has_simulator; then
        step vcsim "Building the simulator of a vCenter" .venv/bin/python -m tools.vcsim
    fi
    if ! may_use_libvirt; then
        step group "Letting $(id -un) use libvirt" as_root usermod -aG libvirt "$(id -un)"
    fi
    tools/link_collection.sh
}

main
