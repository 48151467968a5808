"""Puts the address of your own repository in all places at once.

    make adopt URL=https://github.com/you/your-copy

The address of now stands in ``_config.yml``; wherever it is repeated (the front page, the package's
own links, the set-up cells of the notebooks), it is replaced.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def current(root: Path = ROOT) -> str:
    """The repository as owner/name, from ``_config.yml``."""
    config = (root / "_config.yml").read_text(encoding="utf-8")
    match = re.search(rf"^  url: {ADDRESS.pattern}\s*$", config, re.M)
    if match is None:
        raise ValueError("_config.yml has no line `  url: https://github.com/OWNER/NAME`")
    return match.group(1)


def files(root: Path = ROOT) -> list[Path]:
    """The text files under version control."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    found = [root / name for name in listed.stdout.split("\0") if name]
    return [path for path in found if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def places(address: str, root: Path = ROOT) -> list[Path]:
    """The files that say the address."""
    word = address.encode()
    return [path for path in files(root) if word in path.read_bytes()]


def adopt(url: str, root: Path = ROOT) -> list[Path]:
    """Replace the address of now by ``url``; gives the files that changed."""
    match = ADDRESS.fullmatch(url)
    if match is None:
        raise ValueError(f"URL is {url!r}, but should look like https://github.com/you/your-copy")
    old, new = current(root), match.group(1)
    changed = []
    for path in places(old, root):
        before = path.read_bytes().decode("utf-8")
        after = re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", new, before)
        if after != before:
            path.write_bytes(after.encode("utf-8"))
            changed.append(path)
    return changed


def main() -> int:
    try:
        changed = adopt(sys.argv[1] if len(sys.argv) > 1 else "")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for path in changed:
        print(path.relative_to(ROOT))
    print(f"{len(changed)} files changed" if changed else "nothing to do: it stands there already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
