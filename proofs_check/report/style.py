"""The style sheet of the report: light and dark, on a screen and on paper."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --ink: #1a1c1f; --paper: #fff; --soft: #f3f4f6;
  --line: #d5d8dd; --faint: #5b6068; --link: #005a94;
  --holds: #00694b; --refuted: #a83a00; --undecided: #7a5a00; --blind: #8a3a6c;
  --error: #b00020; --skipped: #5b6068; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9ec; --paper: #15171a;
  --soft: #1f2227; --line: #3a3f46; --faint: #a4abb5; --link: #7cc4f5;
  --holds: #2fc79a; --refuted: #ff9257; --undecided: #f0c24b; --blind: #e79bc8;
  --error: #ff7a8a; --skipped: #a4abb5; --measured: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { margin: 0 0 .5rem; font-size: 1.7rem; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.25rem; text-transform: capitalize;
  border-bottom: 2px solid var(--line); }
h3 { margin: 0 0 .4rem; font-size: 1.12rem; }
a { color: var(--link); }
.badge { display: inline-block; padding: 0 .55em; border: 1.5px solid currentColor;
  border-radius: 1em; font-size: .85rem; font-weight: 600; white-space: nowrap; }
.badge.holds { color: var(--holds); } .badge.refuted { color: var(--refuted); }
.badge.undecided { color: var(--undecided); } .badge.blind { color: var(--blind); }
.badge.error { color: var(--error); } .badge.skipped { color: var(--skipped); }
.counts { font-size: 1.25rem; font-weight: 700; margin: .2rem 0; }
.count { margin-right: 1.2em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; margin: .5rem 0; }
.summary { width: 100%; }
th, td { text-align: left; padding: .28rem .7rem .28rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
article td + td { white-space: nowrap; }
.evidence table { font-size: .83rem; }
.evidence :is(th, td) { padding-right: .55rem; }
th { color: var(--faint); font-weight: 600; white-space: nowrap; }
small, .source, footer { color: var(--faint); }
.source { font-size: .88rem; margin: .3rem 0; }
article { border: 1px solid var(--line); border-left: 6px solid var(--line);
  border-radius: 6px; padding: 1rem 1.2rem; margin: 1rem 0; }
article.holds { border-left-color: var(--holds); }
article.refuted { border-left-color: var(--refuted); }
article.undecided { border-left-color: var(--undecided); }
article.blind { border-left-color: var(--blind); }
article.error { border-left-color: var(--error); }
article.skipped { border-left: 6px dashed var(--skipped); }
.statement { font-size: 1.15rem; padding: .5rem .9rem; background: var(--soft);
  border-radius: 4px; overflow-x: auto; }
.statement:empty { display: none; }
.statement math[display="block"] { margin: .3em 0; text-align: left; }
.hypotheses { font-size: .92rem; } .hypotheses ul { margin: .1rem 0 .3rem; }
.finding { font-size: 1.08rem; margin: .7rem 0 .3rem; }
.evidence { display: flex; flex-wrap: wrap; gap: .5rem 2rem; }
.evidence > div { flex: 1 1 26rem; min-width: 0; }
figure { margin: .4rem 0 0; max-width: 36rem; }
figure svg { width: 100%; height: auto; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; font-size: .82rem;
  white-space: pre-wrap; }
footer { margin-top: 2rem; font-size: .82rem; }
@media print { :root { --ink: #000; --paper: #fff; --soft: #f3f4f6; --line: #bbb;
  --faint: #444; --link: #000; --holds: #00694b; --refuted: #a83a00;
  --undecided: #7a5a00; --blind: #8a3a6c; --error: #b00020; --skipped: #444; }
  main { max-width: none; padding: 0; } article { break-inside: avoid; }
  .wide { overflow: visible; } body { font-size: 11px; } }
"""
