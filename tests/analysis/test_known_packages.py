"""Packages by the module that they provide, and modules that no package does."""

from __future__ import annotations

import re

from annoy_store.analysis.known_packages import PACKAGES, is_of_another_python, package_of


def test_package_of_is_decided_by_the_longest_listed_prefix() -> None:
    assert package_of("google.protobuf.text_format") == "protobuf"
    assert package_of("google.cloud.storage") == "google-cloud-storage"
    assert package_of("sympy.core.numbers") == "sympy"
    assert package_of("cv2") == "opencv-python-headless"
    for module in ("google", "graph", "a.numpy", ""):
        assert package_of(module) is None


def test_listed_packages_have_names_of_packages() -> None:
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", package) for package in PACKAGES.values())
    assert not any(is_of_another_python(module) for module in PACKAGES)


def test_modules_of_another_python_are_known() -> None:
    for module in ("imp", "urllib2", "msvcrt", "tkinter", "distutils.core"):
        assert is_of_another_python(module)
    assert not is_of_another_python("graph")
