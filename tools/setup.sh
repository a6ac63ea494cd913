#!/usr/bin/env bash
# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what is not there yet: packages of the distribution, a virtual environment, and the link that shows the
# checkout to Ansible as a collection. Running it again with everything there takes a second. How much of it:
#   setup.sh run    what running needs: the demo, the services, chaos and the benchmarks
#   setup.sh check  also what looks at the code: linter, types, tests
#   setup.sh test   also what tests are run against: Ansible's own checks, the simulator of a vCenter
set -euo pipefail
cd "$(dirname "$0")/.."

LOGS=.run/log
LEVELS=(run check test)

# The "core" packages of MariaDB bring programs without a system service.
PACKAGES=(
    gcc pkg-config libvirt-dev # libvirt's Python binding is built from source
    mariadb-server-core mariadb-client-core
    rabbitmq-server
    libvirt-daemon-system libvirt-clients dnsmasq-base qemu-system-x86 qemu-utils
    syslinux syslinux-common mtools fdisk zstd cpio # for the guest's disk
)
# For the simulator of a vCenter, and for guests that boot by UEFI.
TEST_PACKAGES=(ovmf golang-go golang-github-vmware-govmomi-dev golang-github-google-uuid-dev openssl)

HAS_HEADERS='import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

TICKER=
trap stop_ticking EXIT

# A dot every ten seconds: it is alive.
tick() {
    while sleep 10 >/dev/null 2>&1; do printf .; done &
    TICKER=$!
    disown # or bash says that it was terminated
}

stop_ticking() {
    [ -z "$TICKER" ] || kill "$TICKER" 2>/dev/null || true
    TICKER=
}

# step NAME TEXT COMMAND...: one line on the screen, everything else into a log of its own, which the line names.
step() {
    local name=$1 text=$2 started=$SECONDS status=0
    shift 2
    printf '%s (log: %s) ' "$text" "$LOGS/$name.log"
    tick
    "$@" >"$LOGS/$name.log" 2>&1 </dev/null || status=$?
    stop_ticking
    if [ "$status" -ne 0 ]; then
        printf 'FAILED\n\nThe end of %s:\n' "$LOGS/$name.log"
        tail -n 25 "$LOGS/$name.log"
        exit 1
    fi
    printf 'ok (%d s)\n' $((SECONDS - started))
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || fail "needs root or sudo for: $*"
        sudo "$@"
    fi
}

wanted_packages() {
    printf '%s\n' "${PACKAGES[@]}"
    [ "$1" != test ] || printf '%s\n' "${TEST_PACKAGES[@]}"
}

missing_packages() {
    local package
    for package in $(wanted_packages "$1"); do
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

# make_environment WHAT: "." or ".[dev]".
make_environment() {
    # A virtual environment that was moved or whose Python is gone is made anew.
    .venv/bin/python -c 'import pip' 2>/dev/null || rm -rf .venv
    [ -x .venv/bin/python ] || "$PYTHON" -m venv .venv
    .venv/bin/python -m pip install --disable-pip-version-check -e "$1"
}

# Where the checkout is, too: an environment does not survive being moved.
stamp() {
    { pwd; cat pyproject.toml setup.py tools/ansible_checks.py; } | sha256sum
}

# has LEVEL: whether it was installed as it is wanted now, by itself or as part of a level above.
has() {
    local level above='' now
    now=$(stamp)
    for level in "${LEVELS[@]}"; do
        [ "$level" != "$1" ] || above=yes
        if [ -n "$above" ] && [ "$(cat ".venv/.millwright-$level" 2>/dev/null)" = "$now" ]; then return 0; fi
    done
    return 1
}

done_with() {
    stamp >".venv/.millwright-$1"
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

install_for_running() {
    has run && return
    step venv "Installing Python packages into .venv" make_environment .
    done_with run
}

install_for_checking() {
    has check && return
    step venv-dev "Installing developers' Python packages into .venv" make_environment '.[dev]'
    done_with check
}

install_for_testing() {
    if ! has test; then
        step ansible-checks "Installing Ansible's own checks, some minutes" .venv/bin/python -m tools.ansible_checks
        done_with test
    fi
    if ! has_simulator; then
        step vcsim "Building the simulator of a vCenter, some minutes" .venv/bin/python -m tools.vcsim
    fi
}

main() {
    local missing wanted=${1:-run}
    [[ " ${LEVELS[*]} " == *" $wanted "* ]] || fail "knows ${LEVELS[*]}, not $wanted"
    [ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null || fail "knows Debian 12 and Ubuntu only"
    mkdir -p "$LOGS"
    PYTHON=$(find_python)
    mapfile -t missing < <(missing_packages "$wanted")
    if [ ${#missing[@]} -gt 0 ]; then
        # Ask for the password here, where it can be seen, and not in the log.
        [ "$(id -u)" -eq 0 ] || sudo -v
        step packages "Installing ${#missing[@]} packages (apt)" install_packages "${missing[@]}"
    fi
    case $wanted in
        run) install_for_running ;;
        check) install_for_checking ;;
        test) install_for_checking; install_for_testing ;;
    esac
    if ! may_use_libvirt; then
        step group "Letting $(id -un) use libvirt" as_root usermod -aG libvirt "$(id -un)"
    fi
    tools/link_collection.sh
}

# Sourced, it only defines.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
