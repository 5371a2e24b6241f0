"""Cuts the Phosphor font down to the glyphs the window uses, into `resources/fonts/phosphor.ttf`.

Run it after a change of `app/gui/glyphs.py`, from the project folder:

    uv run --no-project --with fonttools --with qtawesome==1.4.2 python packaging/make_icons.py

The font is taken from the qtawesome wheel (MIT), which carries Phosphor 1.3.0 (MIT, `resources/licences/phosphor-icons.txt`). Neither
package is a dependency of the program: importing qtawesome costs 200 ms and five more fonts, the whole font 1.4 MB.
The family is renamed, so that a Phosphor font installed on the person's system (with other code points) is never picked up instead.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "resources" / "fonts" / "phosphor.ttf"
FAMILY = "Gatehouse Phosphor"


def main() -> int:
    sys.path.insert(0, str(ROOT))
    glyphs = _glyphs()
    spec = importlib.util.find_spec("qtawesome")
    if spec is None or spec.origin is None:
        print("The qtawesome package is missing; see the first lines of this script.", file=sys.stderr)
        return 1
    fonts = Path(spec.origin).parent / "fonts"
    charmap = {name: int(code, 16) for name, code in json.loads((fonts / "phosphor-charmap-1.3.0.json").read_text("utf-8")).items()}
    wrong = sorted(name for name, code in glyphs.items() if charmap.get(name) != code)
    if wrong:
        print("Not in Phosphor 1.3.0, or at another code point: " + ", ".join(wrong), file=sys.stderr)
        return 1

    font = TTFont(fonts / "phosphor-1.3.0.ttf", recalcTimestamp=False)
    options = subset.Options(name_IDs=["*"], notdef_outline=True, hinting=False, glyph_names=False)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=glyphs.values())
    cutter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = FAMILY
        elif record.nameID == 6:
            record.string = FAMILY.replace(" ", "-")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    font.save(OUT)
    print(f"{OUT.relative_to(ROOT)}: {len(glyphs)} glyphs, {OUT.stat().st_size} bytes")
    return 0


def _glyphs() -> dict[str, int]:
    """`GLYPHS`, read from its file alone: importing the package would ask for Qt."""
    spec = importlib.util.spec_from_file_location("glyphs", ROOT / "app" / "gui" / "glyphs.py")
    if spec is None or spec.loader is None:
        raise SystemExit("app/gui/glyphs.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.GLYPHS)


if __name__ == "__main__":
    raise SystemExit(main())
