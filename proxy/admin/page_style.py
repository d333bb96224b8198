"""How the status page looks. One style sheet in the page itself, let in by its hash.

Two schemes by variables; paper is light. Cards instead of tables below 760 px. Text has at least
4.5:1 against what it stands on, in both schemes.
"""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root{color-scheme:light dark;
--page:#f4f5f7;--panel:#fff;--text:#1b1f24;--muted:#545c66;--line:#d9dee4;--soft:#eceff2;
--link:#0550ae;--good:#1a7434;--warning:#8f5600;--bad:#b91c26;--quiet:#656d77;
--good-soft:#e5f4e9;--warning-soft:#fcf0da;--bad-soft:#fdebec;--quiet-soft:#eceff2}
@media screen and (prefers-color-scheme:dark){:root{
--page:#0e1116;--panel:#161b22;--text:#e3e8ee;--muted:#9ca6b1;--line:#2c343e;--soft:#222932;
--link:#79b8ff;--good:#56c271;--warning:#dba63a;--bad:#ff7f78;--quiet:#96a0ab;
--good-soft:#12261a;--warning-soft:#2b2211;--bad-soft:#331719;--quiet-soft:#222932}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--text);font:14px/1.45 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
.wide{max-width:1240px;margin:0 auto;padding:0 20px}
a{color:var(--link);text-underline-offset:2px}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
code,.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
font-size:.92em;overflow-wrap:anywhere}
bdi{overflow-wrap:anywhere}.short{white-space:nowrap}
.top{background:var(--panel);border-bottom:1px solid var(--line)}
.top .wide{display:flex;flex-wrap:wrap;gap:2px 18px;align-items:baseline;padding-top:10px;
padding-bottom:10px}
.brand{font-weight:650;letter-spacing:.01em;margin-right:auto}
.brand span{color:var(--muted);font-weight:400}
.top nav{display:flex;gap:4px 18px;flex-wrap:wrap}
.aside,.nothing{color:var(--muted)}
.aside{white-space:nowrap}
.icon{width:16px;height:16px;flex:none;fill:currentColor}
.icon .ink{fill:none;stroke:var(--panel);stroke-width:1.8;stroke-linecap:round;
stroke-linejoin:round}
.icon .ring{fill:none;stroke:currentColor;stroke-width:2;stroke-dasharray:3 2.65}
.good{color:var(--good)}.warning{color:var(--warning)}.bad{color:var(--bad)}
.quiet{color:var(--quiet)}
.head{margin:18px 0;border:1px solid var(--line);border-left:5px solid currentColor;
border-radius:8px;padding:14px 18px;display:grid;grid-template-columns:auto 1fr;gap:0 12px}
.head>.icon{width:26px;height:26px;margin-top:2px}
.head.good{background:var(--good-soft)}.head.warning{background:var(--warning-soft)}
.head.bad{background:var(--bad-soft)}.head.quiet{background:var(--quiet-soft)}
.head h1{margin:0;font-size:20px;line-height:1.35;font-weight:650;color:var(--text);
overflow-wrap:anywhere}
.head>*{grid-column:2}.head>.icon{grid-column:1}
.head p,.head ul{margin:5px 0 0;color:var(--text)}
.head ul{list-style:none;padding:0}
.head li{display:flex;gap:7px;margin-top:3px;overflow-wrap:anywhere}
.head li .icon,.state .icon{margin-top:2px}
.panel{background:var(--panel);border:1px solid var(--line);border-radius:8px;margin:0 0 18px;
overflow:hidden}
.panel>header{display:flex;flex-wrap:wrap;gap:0 12px;align-items:baseline;padding:11px 16px 9px}
h2{font-size:15px;margin:0;font-weight:650}
.panel>header p{margin:0;color:var(--muted);font-size:13px}
.panel>.none{margin:0;padding:2px 16px 14px;color:var(--muted)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
caption,.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
th,td{padding:7px 10px;text-align:left;vertical-align:top;font-weight:400}
th:first-child,td:first-child{padding-left:16px}
th:last-child,td:last-child{padding-right:16px}
thead th{color:var(--muted);font-size:12px;padding-top:3px;padding-bottom:5px;white-space:nowrap;
vertical-align:bottom}
thead .group{border-bottom:1px solid var(--line);padding-bottom:2px}
thead .group+.group,.first{border-left:1px solid var(--line)}
tbody tr{border-top:1px solid var(--line)}
tbody tr.more{border-top:0}
tbody tr.more td{padding-top:0;padding-bottom:11px}
tbody th{font-weight:600;min-width:110px}
.fetches tbody th{font-weight:400;white-space:nowrap;min-width:0}
.fetches .state{display:inline}.fetches .state.good{font-weight:400}
.fetches .state .icon{vertical-align:-3px;margin:0 6px 0 0}
.fetches .state+.aside{display:inline;padding-left:8px;font-size:12.5px}
.number{text-align:right;white-space:nowrap}
.state{display:flex;gap:6px;font-weight:600}
.state+.aside{display:block;padding-left:22px}
.life{min-width:190px}
.bar{display:block;width:100%;height:6px;border-radius:3px;margin:5px 0 0}
.bar .track{fill:var(--soft)}.bar .left{fill:currentColor}
.why{border-left:3px solid currentColor;padding:1px 0 1px 12px;margin-left:6px}
.why p{margin:0;color:var(--text);max-width:150ch}
.why p+p{margin-top:2px}
.strong{font-weight:650}
.pair{display:grid;grid-template-columns:minmax(0,1.75fr) minmax(0,1fr);gap:18px;
align-items:start}
.stack>.panel:last-child,.pair>.panel{margin-bottom:18px}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 16px;margin:0;
padding:2px 16px 14px}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
pre{margin:4px 0 0;white-space:pre-wrap;overflow-wrap:anywhere;font-size:12.5px;
background:var(--soft);border-radius:5px;padding:8px 10px}
footer{color:var(--muted);font-size:13px;padding-bottom:24px}
@media (max-width:1000px){.pair{grid-template-columns:minmax(0,1fr)}}
@media (max-width:760px){
.wide{padding:0 12px}.head{padding:12px 14px;margin:12px 0}.head h1{font-size:18px}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody{display:block}
tbody tr{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:7px 10px;
padding:10px 14px}
.tokens tbody tr{grid-template-columns:repeat(6,minmax(0,1fr))}
.upstreams tbody tr{grid-template-columns:repeat(5,minmax(0,1fr))}
.fetches tbody tr{gap:1px 10px}.fetches .number{text-align:right}
tbody tr.more{padding-top:0}
tbody th,tbody td,tbody th:first-child,tbody td:first-child,tbody td:last-child{padding:0;
min-width:0}
tbody tr.more td{padding:0}
.whole{grid-column:1/-1}.half{grid-column:span 2}.wide-half{grid-column:span 3}
.first{border-left:0}.life{min-width:0}
.number{text-align:left}
td[data-label]::before{content:attr(data-label);display:block;color:var(--muted);font-size:12px}
dl{padding:2px 14px 12px;gap:5px 12px}.panel>header{padding:10px 14px 7px}
.panel>.none{padding:2px 14px 12px}}
@media (prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}
@media print{body{background:#fff}.top nav{display:none}}
""".strip()

STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""What `style-src` lets in: this style sheet and no other."""
