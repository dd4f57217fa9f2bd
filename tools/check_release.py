"""Check the built distributions in a folder: what an index will show and what an installation will get.

    python tools/check_release.py dist

Exits with 1 and one line per problem. Needs nothing but Python 3.11 or newer.
"""

from __future__ import annotations

import email
import email.message
import re
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
IN_WHEEL = {"onplan/py.typed", "onplan/__init__.pyi", "onplan/what-is-permitted.md"}
IN_SDIST = {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "Makefile", "tests/conftest.py"}
METADATA = ["Summary", "Author", "License-Expression", "License-File", "Requires-Python", "Keywords"]
RELATIVE_LINK = re.compile(r"\]\(((?!https?://|#)[^)]*)\)")


def problems(folder: Path) -> list[str]:
    """Return one sentence for each thing wrong with the wheel and the sdist in `folder`."""
    wheels, sdists = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        return [f"{folder} should hold one wheel and one sdist, and holds {len(wheels)} and {len(sdists)}"]
    return [*_of_wheel(wheels[0]), *_of_sdist(sdists[0])]


def _of_wheel(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        message = email.message_from_bytes(wheel.read(metadata))
    source = ROOT / "src"
    modules = {module.relative_to(source).as_posix() for module in source.rglob("*.py")}
    return [
        *(f"the wheel lacks {name}" for name in sorted((modules | IN_WHEEL) - names)),
        *(f"the wheel has {name}, src/ has not" for name in sorted(names) if not (source / name).is_file()),
        *_of_metadata(message),
    ]


def _of_metadata(metadata: email.message.Message) -> list[str]:
    version = metadata["Version"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = [f"the metadata lack {key}" for key in METADATA if not metadata[key]]
    if f'__version__ = "{version}"' not in (ROOT / "src/onplan/_version.py").read_text("utf-8"):
        found.append(f"the version is {version}, and another one in _version.py")
    if set(metadata.get_all("Provides-Extra", [])) != set(project["optional-dependencies"]):
        found.append("the extras are not those of pyproject.toml")
    if f"\n## {version}" not in (ROOT / "CHANGELOG.md").read_text("utf-8"):
        found.append(f"CHANGELOG.md has no heading for {version}")
    description = str(metadata.get_payload())
    return found + [
        f"the description links to {target}, which an index does not have"
        for target in RELATIVE_LINK.findall(description)
    ]


def _of_sdist(path: Path) -> list[str]:
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    return [f"the sdist lacks {name}" for name in sorted(IN_SDIST - names)]


if __name__ == "__main__":
    found = problems(Path(sys.argv[1]))
    print("\n".join(found) or "The metadata and the contents of the sdist and the wheel are in order.")
    sys.exit(bool(found))
