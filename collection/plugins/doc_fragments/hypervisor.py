# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module: which hypervisor it means. Said again in module_utils/connection.py; a test compares."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  hypervisor_type:
    description:
      - Driver that talks to the hypervisor.
      - Environment variable E(MILLWRIGHT_HYPERVISOR_TYPE) is used if it is not given.
    type: str
    required: true
    choices: [fake, libvirt, vsphere]
    aliases: [type]
  url:
    description:
      - Where the hypervisor is, in its driver's words. For V(libvirt) a connection URI such as V(qemu:///system).
      - For V(vsphere) V(https://HOST/), and behind a question mark where new VMs go (C(datacenter), C(cluster),
        C(host), C(resource_pool), C(folder), C(datastore); each by name, inventory path or managed-object id), and
        C(thumbprint), the SHA-256 of the certificate to trust.
      - Environment variable E(MILLWRIGHT_URL) is used if it is not given.
    type: str
    required: true
  username:
    description:
      - Account at the hypervisor.
      - Environment variable E(MILLWRIGHT_USERNAME) is used if it is not given.
    type: str
  password:
    description:
      - Password of the account.
      - Environment variable E(MILLWRIGHT_PASSWORD) is used if it is not given.
    type: str
  credentials_file:
    description:
      - JSON file with C(username) and C(password), for callers that keep secrets out of variables.
        It is used instead of O(username) and O(password).
        A file that others of the host can read is warned of.
      - A relative path starts where Ansible was started, not beside the playbook, if the module runs at that host.
        So do those of O(ca_path) and O(session_file).
      - Environment variable E(MILLWRIGHT_CREDENTIALS_FILE) is used if it is not given.
    type: path
  validate_certs:
    description:
      - Whether TLS certificates are checked.
      - Environment variable E(MILLWRIGHT_VALIDATE_CERTS) is used if it is not given.
    type: bool
    default: true
  ca_path:
    description:
      - File or directory with the certificates of authorities to trust.
      - Environment variable E(MILLWRIGHT_CA_PATH) is used if it is not given.
    type: path
  connect_timeout:
    description:
      - Seconds to wait for the hypervisor's first answer.
      - Environment variable E(MILLWRIGHT_CONNECT_TIMEOUT) is used if it is not given.
    type: int
    default: 10
  session_file:
    description:
      - File with a session that M(millwright.virt.hypervisor_login) keeps there.
        A session that was made by another login, or has ended, is not used. See also O(keep_session).
      - Environment variable E(MILLWRIGHT_SESSION_FILE) is used if it is not given.
    type: path
  keep_session:
    description:
      - Whether a module that had to log in leaves its session in O(session_file) for the next ones, also in check mode,
        if the hypervisor has sessions.
      - Of several modules that log in at once one leaves its session; the others end theirs. So does one that cannot
        write the file. A session of another login that is in the file stays there.
      - The file belongs into a directory of your own. End the session with M(millwright.virt.hypervisor_logout).
      - Environment variable E(MILLWRIGHT_KEEP_SESSION) is used if it is not given.
    type: bool
    default: false
requirements:
  - python >= 3.11
  - libvirt-python, for O(hypervisor_type=libvirt)
  - pycdlib, for cloud-init data with O(hypervisor_type=libvirt)
  - pyvmomi, for O(hypervisor_type=vsphere)
"""
