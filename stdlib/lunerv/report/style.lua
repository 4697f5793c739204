-- The style of a page: light or dark by the reader's system, down to 400 pixels wide.
return [==[
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2027; --soft: #5a6472; --line: #e1e5ea;
  --well: #f1f3f6; --accent: #0b66a8; --good: #0a7a55; --wait: #9a5b00;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b8578f; --s4: #b07d00; --s5: #3b9ad6;
  --s6: #5a6472;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1115; --card: #161a20; --ink: #e7eaef; --soft: #9ba5b3; --line: #2a3038;
    --well: #1d2229; --accent: #6bb5ec; --good: #4cc38a; --wait: #e8b45a;
    --s0: #58aee8; --s1: #f08b45; --s2: #3ecb9f; --s3: #e191c0; --s4: #e8b93e; --s5: #9ad1f5;
    --s6: #a9b2bf;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
main, header.top, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header.top { padding-top: 40px; padding-bottom: 8px; }
header.top > p { margin: 4px 0 0; color: var(--soft); }
h1, h2, h3 { line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h1 { font-size: 28px; font-weight: 650; margin: 0; }
h2 { font-size: 21px; font-weight: 620; margin: 0; }
h3 { font-size: 15px; font-weight: 620; margin: 0 0 14px; letter-spacing: 0; }
.top > .mark { font-size: 12px; font-weight: 600; letter-spacing: 0.09em; text-transform: uppercase;
  color: var(--soft); margin: 0 0 6px; }
section, article { margin: 24px 0; }
article { border-top: 1px solid var(--line); padding-top: 32px; margin-top: 40px; }
.run-head { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline; }
.run-head p { flex-basis: 100%; margin: 0; color: var(--soft); overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px; margin: 16px 0; min-width: 0; }
.two { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
.two > .card { margin: 0; }
.card > .two { gap: 16px 32px; }
.two > .card:only-child { grid-column: 1 / -1; }
.state { font-size: 12px; font-weight: 600; padding: 2px 9px; border-radius: 99px;
  border: 1px solid currentColor; white-space: nowrap; }
.state.done { color: var(--good); } .state.wait { color: var(--wait); }
.figures { display: flex; flex-wrap: wrap; gap: 1px;
  background: var(--line); border: 1px solid var(--line); border-radius: 12px; overflow: hidden;
  margin: 16px 0; }
.figures div { background: var(--card); padding: 14px 16px; flex: 1 1 128px; min-width: 0; }
.figures dt { color: var(--soft); font-size: 12.5px; }
.figures dd { margin: 2px 0 0; font-size: 21px; font-weight: 600; letter-spacing: -0.015em; }
.figures small { font-size: 13px; font-weight: 500; color: var(--soft); letter-spacing: 0; }
dl { margin: 0; }
.bar { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center;
  justify-content: space-between; margin-bottom: 10px; }
.bar h3 { margin: 0; }
.choice { display: inline-flex; border: 1px solid var(--line); border-radius: 8px;
  overflow: hidden; background: var(--well); }
.choice button { font: inherit; font-size: 13px; color: var(--soft); background: none; border: 0;
  padding: 4px 12px; cursor: pointer; }
.choice button[aria-pressed="true"] { background: var(--card); color: var(--ink);
  font-weight: 600; }
button:focus-visible, summary:focus-visible, .chart:focus-visible, a:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 6px; }
.choice button:focus-visible { outline-offset: -2px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 6px; margin: 0 0 8px -6px; }
.legend button { display: inline-flex; align-items: center; gap: 7px; font: inherit;
  font-size: 13px; color: var(--ink); background: none; border: 0; border-radius: 6px;
  padding: 2px 6px; cursor: pointer; max-width: 100%; text-align: left; overflow-wrap: anywhere; }
.legend button:hover { background: var(--well); }
.legend button[aria-pressed="false"] { color: var(--soft); text-decoration: line-through; }
.swatch { flex: none; width: 14px; height: 3px; border-radius: 2px; background: currentColor;
  display: inline-block; vertical-align: middle; }
.legend button[aria-pressed="false"] .swatch { opacity: 0.35; }
.c0 { color: var(--s0); } .c1 { color: var(--s1); } .c2 { color: var(--s2); }
.c3 { color: var(--s3); } .c4 { color: var(--s4); } .c5 { color: var(--s5); }
.c6 { color: var(--s6); }
.chart { position: relative; height: 260px; touch-action: pan-y; }
.chart.tall { height: 360px; }
.chart svg { display: block; width: 100%; height: 100%; overflow: visible; }
.chart text { fill: var(--soft); font-size: 12px; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round;
  stroke-linecap: round; }
.chart .dashed { stroke-dasharray: 5 5; stroke-width: 1.6; }
.chart .dot { fill: currentColor; stroke: var(--card); stroke-width: 1.5; }
.chart .cursor { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 3; }
.tip { position: absolute; top: 0; left: 0; pointer-events: none; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; padding: 7px 10px; font-size: 12.5px;
  line-height: 1.45; box-shadow: 0 4px 16px rgb(0 0 0 / 0.14); z-index: 2; max-width: 280px; }
.tip[hidden] { display: none; }
.tip b { font-weight: 600; }
.tip div { display: flex; gap: 8px; align-items: center; }
.tip span.v { margin-left: auto; padding-left: 10px; font-weight: 600; white-space: nowrap; }
.tip span.n { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.note { color: var(--soft); font-size: 13px; margin: 10px 0 0; overflow-wrap: anywhere; }
.still svg { width: 100%; height: auto; }
.still { border-radius: 8px; overflow: hidden; background: #fff; margin-top: 12px; }
.scroll { overflow-x: auto; margin: 0 -20px; padding: 0 20px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: right; padding: 7px 0 7px 20px; border-top: 1px solid var(--line);
  vertical-align: baseline; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.l, th.l { text-align: left; }
thead th { border-top: 0; font-weight: 500; color: var(--soft); font-size: 12.5px; }
tbody th { font-weight: 500; overflow-wrap: anywhere; min-width: 130px; white-space: normal; }
td.message { overflow-wrap: anywhere; min-width: 120px; text-align: left; white-space: normal; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
.strip { display: flex; height: 12px; border-radius: 6px; overflow: hidden; gap: 2px;
  margin-bottom: 12px; }
.strip i { display: block; background: currentColor; min-width: 2px; }
tbody .swatch { height: 10px; width: 10px; border-radius: 3px; margin: -2px 8px 0 0; }
pre, code { font-family: var(--mono); font-size: 12.5px; }
pre { margin: 0; padding: 12px 14px; background: var(--well); border-radius: 8px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr));
  gap: 10px 24px; margin-top: 14px; }
.facts dt { color: var(--soft); font-size: 12.5px; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; border-radius: 6px; }
details.more { margin-top: 14px; } details.more > summary { color: var(--accent); font-size: 14px; }
.tree { font-size: 13.5px; }
.tree details { margin: 0; } .tree details > :not(summary) { margin-left: 20px; }
.tree summary, .tree .leaf { display: flex; gap: 10px; align-items: baseline; padding: 3px 4px;
  list-style: none; min-width: 0; }
.tree summary::-webkit-details-marker { display: none; }
.tree summary::before { content: ""; flex: none; width: 5px; height: 5px; margin-right: 1px;
  border: solid var(--soft); border-width: 0 1.5px 1.5px 0; transform: rotate(-45deg);
  transition: transform 0.12s; align-self: center; }
.tree details[open] > summary::before { transform: rotate(45deg); }
.tree .leaf { padding-left: 20px; color: var(--soft); }
.tree summary:hover, .tree .leaf:hover { background: var(--well); border-radius: 6px; }
.tree .name { font-family: var(--mono); font-size: 12.5px; overflow-wrap: anywhere; }
.tree .class { color: var(--soft); white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.tree .shape { font-family: var(--mono); font-size: 12px; color: var(--soft); }
.tree .count { margin-left: auto; white-space: nowrap; }
.tree .share { flex: none; width: 64px; height: 5px; border-radius: 3px; background: var(--well);
  overflow: hidden; align-self: center; }
.tree .share i { display: block; height: 100%; background: var(--s0); }
.frame[hidden] { display: none; }
.frame + .frame { margin-top: 20px; }
.compare { position: relative; border-radius: 8px; overflow: hidden; background: var(--well);
  --at: 50%; margin: 0 auto; }
.compare img { display: block; width: 100%; height: auto; user-select: none; }
.compare img.small { image-rendering: pixelated; }
.compare img + img { position: absolute; inset: 0; height: 100%; }
.compare .source { clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.compare .map { visibility: hidden; }
.compare.errors .map { visibility: visible; }
.compare.errors .handle, .compare.errors .tag, .compare.errors .source { visibility: hidden; }
.compare .handle { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px;
  margin-left: -1px; background: #fff; box-shadow: 0 0 0 1px rgb(0 0 0 / 0.35);
  pointer-events: none; }
.compare .handle::after { content: "‹ ›"; position: absolute; top: 50%; left: 50%; width: 34px;
  height: 34px; margin: -17px 0 0 -17px; border-radius: 50%; background: #fff; color: #1b2027;
  font: 600 15px/32px system-ui, sans-serif; text-align: center; letter-spacing: 1px;
  box-shadow: 0 1px 6px rgb(0 0 0 / 0.4); }
.compare input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; }
.compare.errors input { visibility: hidden; }
.compare input:focus-visible + .handle::after { outline: 3px solid var(--accent);
  outline-offset: 2px; }
.compare .tag { position: absolute; bottom: 10px; padding: 2px 9px; border-radius: 6px;
  font-size: 12px; font-weight: 600; background: rgb(15 18 22 / 0.72); color: #fff;
  pointer-events: none; }
.compare .tag.a { left: 10px; } .compare .tag.b { right: 10px; }
.problem { border-left: 3px solid var(--wait); padding-left: 12px; }
footer { padding-top: 24px; padding-bottom: 48px; color: var(--soft); font-size: 13px; }
@media (max-width: 720px) {
  main, header.top, footer { padding-left: 16px; padding-right: 16px; }
  header.top { padding-top: 24px; }
  h1 { font-size: 23px; } h2 { font-size: 19px; }
  .two { grid-template-columns: minmax(0, 1fr); }
  .card { padding: 16px; } .scroll { margin: 0 -16px; padding: 0 16px; }
  .figures dd { font-size: 18px; }
  .chart { height: 220px; } .chart.tall { height: 280px; }
  .tree .share, .tree .class { display: none; }
  .tree details > :not(summary) { margin-left: 12px; }
}
@media print {
  .choice, .compare input { display: none; } .card { break-inside: avoid; }
}
]==]
