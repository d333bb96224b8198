"""A base image made of this machine's own Python, where no registry of images can be asked.

It stands for `python:…-slim`: the interpreter under /usr/local, its standard library without byte
code, pip, a shell, the libraries that all these load, and certificates. The Dockerfile is built on
it unchanged.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

TOOLS = ("sh", "rm")
MERGED = ("bin", "lib", "lib64", "sbin")
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter",
    "turtledemo", "config-*", "_tkinter*", "*.a",
)  # fmt: skip
# Loaded by name while running, so that no table of the linker names them.
LOADED_LATE = (
    "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1", "librt.so.1",
    "libdl.so.2", "libpthread.so.0", "libutil.so.1",
)  # fmt: skip
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"


def lay_out(root: Path) -> None:
    """Fill the empty folder `root` with the file system of such an image."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    library = root / "usr/local/lib" / VERSION
    shutil.copytree(sysconfig.get_path("stdlib"), library, symlinks=True, ignore=LEFT_OUT)
    dynamic = Path(sysconfig.get_config_var("DESTSHARED"))
    if not (library / "lib-dynload").exists():
        shutil.copytree(dynamic, library / "lib-dynload", ignore=LEFT_OUT)
    _put_pip(library)
    binaries = root / "usr/local/bin"
    binaries.mkdir()
    interpreter = Path(sys.base_prefix, "bin", VERSION).resolve()
    shutil.copy2(interpreter, binaries / VERSION)
    for link in ("python3", "python"):
        (binaries / link).symlink_to(VERSION)
    tools = [Path(str(shutil.which(name))).resolve() for name in TOOLS]
    for name, tool in zip(TOOLS, tools, strict=True):
        shutil.copy2(tool, root / "usr/bin" / name)
    _put_libraries(root, [interpreter, *tools, *dynamic.glob("*.so")])
    _put_settings(root)
    subprocess.run(["/sbin/ldconfig", "-r", root], check=True, capture_output=True)


def _put_pip(library: Path) -> None:
    packages = library / "site-packages"
    packages.mkdir()
    (wheel,) = (library / "ensurepip/_bundled").glob("pip-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)


def _put_libraries(root: Path, users: list[Path]) -> None:
    listed = subprocess.run(["ldd", *users], capture_output=True, text=True, check=False).stdout
    found = {Path(path) for path in re.findall(r"(/\S+\.so\S*) \(0x", listed)}
    (c_library,) = (path for path in found if path.name == "libc.so.6")
    found |= {path for name in LOADED_LATE if (path := c_library.with_name(name)).exists()}
    for path in found:
        own = path.is_relative_to(sys.base_prefix)
        target = root / ("usr/local/lib" if own else str(path.parent)[1:]) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path.resolve(), target)


def _put_settings(root: Path) -> None:
    """Names, certificates, and where pip finds packages here."""
    etc = root / "etc"
    (etc / "ld.so.conf.d").mkdir(parents=True)
    for name in ("ld.so.conf", "nsswitch.conf"):
        shutil.copy2(Path("/etc", name), etc / name)
    for file in Path("/etc/ld.so.conf.d").glob("*.conf"):
        shutil.copy2(file, etc / "ld.so.conf.d")
    (etc / "ld.so.conf.d/local.conf").write_text("/usr/local/lib\n", encoding="utf-8")
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="utf-8")
    (etc / "group").write_text("root:x:0:\n", encoding="utf-8")
    for path in (CERTIFICATES, Path(ssl.get_default_verify_paths().openssl_cafile)):
        target = root / str(path)[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CERTIFICATES, target)
    (root / "tmp").mkdir(mode=0o1777)
    (root / "tmp").chmod(0o1777)
    pip = configparser.RawConfigParser()
    pip["global"] = {"cert": str(CERTIFICATES)}
    if index := _package_index():
        pip["global"]["index-url"] = index
    with (etc / "pip.conf").open("w", encoding="utf-8") as file:
        pip.write(file)


def _package_index() -> str:
    """Return where this machine's pip looks for packages; empty for where it always does."""
    if index := os.environ.get("PIP_INDEX_URL"):
        return index
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return asked.stdout.strip()
