"""Packages of the wheel: both services, and the VM definition under the name that it has inside the collection."""

from setuptools import find_packages, setup

DEFINITION = "ansible_collections.millwright.virt.plugins.module_utils.vm"

setup(
    packages=[*find_packages(include=["runner_service*", "webapi*"]), DEFINITION],
    package_dir={DEFINITION: "collection/plugins/module_utils/vm"},
    package_data={"webapi": ["migrations/**/*"], "runner_service": ["contract/samples/*.json"]},
)
