"""How report pages look: light, dark and on paper. No font, picture or script is fetched."""

from __future__ import annotations

from typing import Final

CSS: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --page: #ffffff; --stripe: #f6f8fa; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4af; --line: #3a424b;
  --page: #14171a; --stripe: #1d2126; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1.5rem 1.25rem 4rem; color: var(--ink);
  background: var(--page); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 2rem 0 .4rem; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: 0 0 .8rem; overflow-wrap: anywhere; }
nav ol { columns: 2 18rem; padding-left: 1.4rem; }
a { color: var(--accent); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .35rem; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child, .long, .text { text-align: left; }
.long { white-space: normal; min-width: 16rem; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid var(--line); color: var(--soft); font-weight: 600;
  white-space: normal; vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--stripe); }
tbody th { font-weight: 500; }
tr.strong > * { font-weight: 700; }
figure { margin: 1.2rem 0; max-width: 52rem; }
figure svg { width: 100%; height: auto; color: var(--ink); }
figcaption, footer { color: var(--soft); font-size: .9rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; color: #000;
  background: #fff; } nav { display: none; } h2, h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; } .scroll { overflow: visible; }
  th, td { white-space: normal; padding: .15rem .4rem; } }
"""
