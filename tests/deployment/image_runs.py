"""The image, built from the Dockerfile as it stands and run as Kubernetes would run it.

Without a Docker engine: `container.py` has the tools, `local_base.py` stands for the base image.
One test, since the image is built once; more than a minute of two cores, so that it is `make
image-test` and no part of `make test`.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deployment.container import Bundle, Container, Images
from deployment.local_base import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/token-proxy"
PLACE = "/opt/token-proxy"
FILE = "/etc/token-proxy/token-proxy.yaml"
SECONDS_MAX = 60
ASK_LIVEZ = """
from urllib.request import urlopen
answer = urlopen("http://127.0.0.1:9090/livez", timeout=5)
print(answer.status)
"""
FIND_WRITABLE_FOLDERS = """
import os
for folder, folders, files in os.walk("/"):
    folders[:] = [each for each in folders if (folder, each) != ("/", "proc")]
    if os.access(folder, os.W_OK):
        print(folder)
"""


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    assert shutil.which("buildah"), "install buildah"
    assert shutil.which("runc"), "install runc"
    assert os.geteuid() == 0, "root builds and runs an image here"
    made = Images(tmp_path)
    yield made
    made.remove_all()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_image_serves_without_a_capability_or_a_place_to_write(
    images: Images, tmp_path: Path
) -> None:
    build(images)
    settings = images.configuration(IMAGE)
    it_says_what_it_is(settings)
    _, root = images.mount(IMAGE)
    nothing_is_in_it_that_it_does_not_need(root)
    all_is_compiled_and_readable_by_everybody(root)
    bundle = Bundle(tmp_path, root, settings)
    # The demonstration takes its time, and is the proxy at work: tokens, requests, an outage.
    with bundle.running("demo", "--once", mounts={}) as demonstration:
        mounts = configuration(tmp_path)
        with bundle.running("validate", "-c", FILE, mounts=mounts) as validation:
            it_ends_well(validation, "is valid")
        with bundle.running(mounts=mounts) as proxy:
            it_serves(proxy)
            it_has_no_rights(proxy)
            proxy.process.terminate()
            it_ends_well(proxy, '"event": "stopped"')
        it_ends_well(demonstration, "That was all.")


def build(images: Images) -> None:
    """Build the image; the base gets the name that stands in the Dockerfile."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    container, root = images.mount("scratch")
    lay_out(root)
    images.buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
    images.commit(container, f"localhost/{base}")
    images.buildah(
        "build", "--quiet", "--pull-never", "--isolation", "chroot", "--format", "docker",
        "--build-arg", "VERSION=1.2.3", "--build-arg", "REVISION=abcdef0",
        "--build-arg", "CREATED=2026-01-02T03:04:05Z", "--tag", IMAGE, ROOT,
    )  # fmt: skip


def configuration(folder: Path) -> dict[str, Path]:
    """Return what is mounted: the configuration's folder and the secrets', as a pod has them."""
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "billing").write_text("no-secret-at-all", encoding="utf-8")
    place = folder / "configuration"
    place.mkdir()
    example = ROOT / "docs" / "examples" / "compose" / "token-proxy.yaml"
    text = example.read_text(encoding="utf-8").replace("${BILLING_CLIENT_ID}", "billing")
    (place / "token-proxy.yaml").write_text(text, encoding="utf-8")
    return {"/etc/token-proxy": place, "/run/secrets": secrets}


def it_says_what_it_is(settings: dict[str, object]) -> None:
    labels = settings["Labels"]
    assert isinstance(labels, dict)
    names = ("version", "revision", "created", "licenses", "title")
    assert [labels[f"org.opencontainers.image.{name}"] for name in names] == [
        "1.2.3", "abcdef0", "2026-01-02T03:04:05Z", "Apache-2.0", "token-proxy",
    ]  # fmt: skip
    assert settings["User"] == "65532:65532"
    assert settings["Entrypoint"] == ["token-proxy"]
    assert settings["Cmd"] == ["run", "-c", FILE]
    health = settings["Healthcheck"]
    assert isinstance(health, dict)
    assert health["Test"] == ["CMD", "token-proxy", "healthcheck"]


def nothing_is_in_it_that_it_does_not_need(root: Path) -> None:
    there = {path.name for path in root.rglob("*")}
    assert "aiohttp" in there
    assert not there & {"pip", "uv", "hatchling", "ensurepip", "gcc", "wheels", "requirements.lock"}
    assert not list((root / "src").glob("*"))


def all_is_compiled_and_readable_by_everybody(root: Path) -> None:
    """On OpenShift the user is a number that nobody knows beforehand."""
    modules = list((root / PLACE[1:]).rglob("*.py"))
    assert len(modules) > 300
    modules += [root / each for each in root.glob("usr/local/lib/python3.*/asyncio/*.py")]
    for module in modules:
        (compiled,) = module.parent.glob(f"__pycache__/{module.stem}.*.pyc")
        # PEP 552: a hash, and not to be compared with the source.
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 1, module
    for path in (root / PLACE[1:]).rglob("*"):
        needed = 0o555 if path.is_dir() else 0o444
        assert path.is_symlink() or path.stat().st_mode & needed == needed, path


def it_serves(proxy: Container) -> None:
    ends_at = time.monotonic() + SECONDS_MAX
    while '"event": "listening"' not in proxy.said.read_text():
        assert proxy.process.poll() is None, proxy.said.read_text()
        assert time.monotonic() < ends_at, proxy.said.read_text()
        time.sleep(0.05)
    asked = proxy.execute("python", "-c", ASK_LIVEZ)
    assert asked.stdout == "200\n", asked.stderr
    healthy = proxy.execute("token-proxy", "healthcheck")
    assert (healthy.returncode, healthy.stderr) == (0, "")
    elsewhere = proxy.execute("token-proxy", "healthcheck", "--admin", "127.0.0.1:9")
    assert elsewhere.returncode == 1


def it_ends_well(container: Container, words: str) -> None:
    status = container.process.wait(SECONDS_MAX)
    said = container.said.read_text()
    assert (status, words in said) == (0, True), said


def it_has_no_rights(proxy: Container) -> None:
    """Check that it is process 1, is nobody, can gain nothing, and has no folder to write into."""
    status = proxy.execute("python", "-c", "print(open('/proc/1/status').read())").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Name"] == "token-proxy"
    assert facts["Uid"].split() == ["65532"] * 4
    assert facts["Gid"].split() == ["65532"] * 4
    assert {facts[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"
    writable = proxy.execute("python", "-c", FIND_WRITABLE_FOLDERS)
    assert (writable.returncode, writable.stdout) == (0, ""), writable.stderr
