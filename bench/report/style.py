"""The page's style sheet."""

STYLE = (
    """
:root{--page:#f6f5f2;--card:#fcfcfb;--ink:#16150f;--soft:#52514e;--muted:#807e77;--line:#e3e1da;--other:#b9b6ac;
--good:#1a7a36;--bad:#c42b2b;--s1:#2a78d6;--s2:#1baf7a;--s3:#eda100;--s4:#4a3aa7;--s5:#e34948;--s6:#008300;--s7:#e87ba4;
--s8:#eb6834}
@media (prefers-color-scheme:dark){:root{--page:#111110;--card:#1a1a19;--ink:#f4f3ef;--soft:#c3c2b7;--muted:#918f86;
--line:#31302d;--other:#5d5b54;--good:#5dc27c;--bad:#f07171;--s1:#3987e5;--s2:#199e70;--s3:#c98500;--s4:#9085e9;
--s5:#e66767;--s6:#3f9f3f;--s7:#d55181;--s8:#d95926}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1120px;margin:0 auto;padding:24px 20px 48px}
article+article{margin-top:56px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:19px;margin:36px 0 10px}
h3{font-size:15px;margin:0}
p{margin:0}
.lead{font-size:17px;color:var(--soft)}
.where{color:var(--muted);margin-top:2px}
header dl{margin:12px 0}
dl{display:flex;flex-wrap:wrap;gap:4px 24px;margin:8px 0}
dl div{display:flex;gap:7px;min-width:0}
dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
.groups{display:grid;gap:16px 32px;grid-template-columns:repeat(auto-fit,minmax(min(260px,100%),1fr))}
.groups dl{display:block}
details{border-top:1px solid var(--line);padding:10px 0}
summary{cursor:pointer;font-weight:600}
summary span{font-weight:400;color:var(--muted);margin-left:6px}
details>*:not(summary){margin-top:10px}
.charts{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));align-items:start;
margin-top:20px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px 14px;
min-width:0}
figcaption{margin-bottom:12px}
figcaption p{color:var(--muted);font-size:13px}
svg{display:block;width:100%;max-width:560px;height:auto;overflow:visible}
svg text{font-size:12.5px;fill:var(--ink)}
svg .name{font-weight:600}
svg .quiet{font-weight:400}
svg .value{font-variant-numeric:tabular-nums}
svg .muted{fill:var(--muted);font-size:11.5px}
svg .strong{fill:var(--s1)}
svg .other{fill:var(--other)}
svg .spread{stroke:var(--ink);stroke-width:1.2;opacity:.65;fill:none}
svg .mark{stroke:var(--soft);stroke-width:1.5;fill:none}
svg .grid{stroke:var(--line);stroke-width:1}
svg .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg circle{stroke:var(--card);stroke-width:1.5}
svg .touch{fill:transparent;stroke:none}
"""
    + "".join(
        f"svg .s{n}{{fill:var(--s{n})}}svg .line.s{n}{{fill:none;stroke:var(--s{n})}}.k{n}{{background:var(--s{n})}}\n"
        for n in range(1, 9)
    )
    + """
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;color:var(--soft);margin:-4px 0 10px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:7px 8px;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
th:first-child,td:first-child{padding-left:0}
th{color:var(--muted);font-weight:500;font-size:13px;vertical-align:bottom}
.l{text-align:left}
small{color:var(--muted);font-size:12.5px}
.scroll th:first-child,.scroll td:first-child{position:sticky;left:0;background:var(--page)}
.peers{display:block}
.peers div{display:grid;grid-template-columns:110px 1fr;gap:12px;padding:8px 0;border-top:1px solid var(--line)}
.peers dt{font-weight:600;color:var(--ink)}
.peers dd{color:var(--soft)}
.good{color:var(--good)}
.bad{color:var(--bad)}
footer{margin-top:40px;padding-top:12px;border-top:1px solid var(--line);color:var(--muted);font-size:13px}
@media (max-width:560px){main{padding:16px 12px 32px}h1{font-size:24px}figure{padding:14px 12px}
.peers div{grid-template-columns:1fr;gap:0}svg text{font-size:15px}svg .muted{font-size:14px}}
@media print{body{background:#fff}figure{break-inside:avoid}}
"""
)
