"""The model card as one HTML file without a link to anywhere: the card's text, its pictures, and what became of the version."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from markdown_it import MarkdownIt

PICTURES_AFTER: Final = "## Quality"

STYLE: Final = """
:root { --ink: #1d2330; --soft: #5b6475; --line: #dfe3ea; --blue: #1f5fa8; --paper: #ffffff; --wash: #f5f7fa; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; background: var(--paper); min-height: 100vh; }
h1 { font-size: 1.75rem; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--line); }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .9rem; min-width: 100%; }
th, td { padding: .35rem .75rem .35rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
td { font-variant-numeric: tabular-nums; }
td:first-child { min-width: 9rem; }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; margin: 1rem 0 0; padding: 1rem;
  background: var(--wash); border-left: 4px solid var(--blue); }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.25rem 0; }
img { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; }
@media (max-width: 40rem) {
  main { padding: 1rem 1rem 3rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .6rem; }
}
"""


def card_html(
    text: str, *, title: str, facts: Sequence[tuple[str, str]], pictures: Mapping[str, bytes], language: str = "en"
) -> str:
    """The page of a version: `text` is its card (Markdown), `facts` stand above it, `pictures` (PNG by what they show) in it."""
    heading, *sections = text.split("\n## ")
    parts = [_rendered(heading), _list(facts)]
    for section in (f"## {section}" for section in sections):
        parts.append(_rendered(section))
        if section.startswith(PICTURES_AFTER):
            parts += [_figure(words, picture) for words, picture in pictures.items()]
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _rendered(markdown: str) -> str:
    """Markdown without HTML of its own; a wide table scrolls within its place."""
    html: str = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    html = html.replace("<thead>\n<tr>\n<th></th>\n<th></th>\n</tr>\n</thead>\n", "")
    return html.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace("</table>", "</table></div>")


def _list(facts: Sequence[tuple[str, str]]) -> str:
    return "<dl>\n" + "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>" for name, said in facts) + "\n</dl>"


def _figure(words: str, picture: bytes) -> str:
    source = f"data:image/png;base64,{b64encode(picture).decode()}"
    return f'<figure><img src="{source}" alt="{escape(words)}"><figcaption>{escape(words)}</figcaption></figure>'
