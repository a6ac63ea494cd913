# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Warm Ansible: a process with Ansible loaded forks for each playbook run, so that a run begins in milliseconds.

``server`` waits at a UNIX socket. ``shim`` is what stands as ``ansible-playbook`` on the PATH: it hands its
arguments, environment, directory and terminal over, passes signals on, and ends as the playbook ended. Where no server
answers, or it was started with other settings, the shim becomes the ordinary ``ansible-playbook``.
"""
