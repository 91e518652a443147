"""``data.yaml``: the class names of a YOLO data set, written and read without a YAML library.

Written names are quoted, so that none is taken for a number, a truth value or a comment. Of what others write, the
usual forms of ``names`` are understood: a list or a map, in lines or in brackets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from segstudio.core.errors import FormatError
from segstudio.formats.sources import read_text

_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_QUOTED: Final = r""""(?:[^"\\]|\\.)*+"|'(?:[^']|'')*+'"""
_KEY: Final = r"""(?P<mark>["']?)(?P<key>\d{1,6})(?P=mark)[ \t]*:(?=\s|$)"""
_NAMES: Final = re.compile(r"^(?P<mark>[\"']?)names(?P=mark)[ \t]*:(?=\s|$)[ \t]*(?P<rest>.*)", re.MULTILINE)
_BRACKETED: Final = re.compile(
    rf"\s*+(?:{_KEY}\s*+)?(?:(?P<quoted>{_QUOTED})|(?P<plain>[^\s\[\]{{}},\"'][^\[\]{{}},]*+))?\s*+(?P<end>[\],}}])"
)
_LINE: Final = re.compile(
    rf"[ \t]*+(?:-(?=\s|$)|{_KEY})[ \t]*+(?:(?P<quoted>{_QUOTED})[ \t]*+(?:#.*)?|(?P<plain>[^\"'].*)?)"
)


def write_yaml(path: Path, folders: Mapping[str, str], names: Sequence[str]) -> None:
    """Leaves a data set's description at `path`.

    There is no ``path``: readers take the folder of the file itself then, wherever the data set is moved.

    Args:
        path: The file.
        folders: "train", "val" and "test" with the folders of their images, below that of the file.
        names: By class number.
    """
    lines = [f"{title}: {folder}" for title, folder in folders.items()]
    lines += [f"nc: {len(names)}", "names:" if names else "names: {}"]
    lines += [f"  {number}: {_quoted(name)}" for number, name in enumerate(names)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_names(path: Path) -> dict[int, str]:
    """The class names in a data set's description by their numbers; none where it has none.

    Raises:
        FormatError: It cannot be read, or its names have a form that is not understood.
    """
    text = read_text(path)
    found = _NAMES.search(text)
    if found is None:
        return {}
    rest = found["rest"].strip()
    if rest[:1] in ("[", "{"):
        items = list(_bracketed(text, found.start("rest") + 1, path))
    elif not rest or rest.startswith("#"):
        items = list(_lines(text[found.end() :].splitlines(), path))
    else:
        raise _unclear(path)
    keys = [int(item["key"]) if item["key"] else number for number, item in enumerate(items)]
    return {key: _text(item) for key, item in zip(keys, items, strict=True)}


def _bracketed(text: str, position: int, path: Path) -> Iterator[re.Match[str]]:
    while True:
        item = _BRACKETED.match(text, position)
        if item is None:
            raise _unclear(path)
        if item["quoted"] or item["plain"] or item["key"]:
            yield item
        if item["end"] != ",":
            return
        position = item.end()


def _lines(lines: Sequence[str], path: Path) -> Iterator[re.Match[str]]:
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        item = _LINE.fullmatch(line)
        if item is not None:
            yield item
        elif line[0] in " \t-":
            raise _unclear(path)
        else:
            return  # the next key of the file


def _text(item: re.Match[str]) -> str:
    quoted = item["quoted"]
    if quoted is None:
        return re.split(r"(?:^|\s)#", item["plain"] or "", maxsplit=1)[0].strip()
    if quoted.startswith("'"):
        return quoted[1:-1].replace("''", "'")
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError:  # an escape that only YAML has
        return quoted[1:-1]


def _quoted(name: str) -> str:
    """A name as YAML and JSON both write it."""
    text = json.dumps(name, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _unclear(path: Path) -> FormatError:
    return FormatError(f"The names in {path.name} cannot be understood.", "Write a line such as `  0: tree` for each.")
