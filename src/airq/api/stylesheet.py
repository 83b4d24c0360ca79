"""How the documentation for people looks: light or dark as the reader's system is, wide or on a phone."""

STYLESHEET = """
:root {
  color-scheme: light dark;
  --paper: #fcfdfd; --raised: #f0f4f5; --line: #d5dfe2; --ink: #17252b; --quiet: #4d6068;
  --accent: #0a6672; --accent-paper: #dff1f2; --bad: #a1361f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0f171b; --raised: #18242a; --line: #2c3c44; --ink: #e3ecef; --quiet: #9db0b8;
    --accent: #66cdd9; --accent-paper: #12343a; --bad: #f2a08c;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1.5rem; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
a { color: var(--accent); text-underline-offset: .22em; text-decoration-thickness: .06em; }
a:hover { text-decoration-thickness: .14em; }
:focus-visible { outline: .2rem solid var(--accent); outline-offset: .15rem; border-radius: .2rem; }
code, pre, kbd { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-size: .89em; overflow-wrap: anywhere; }
a code { text-underline-offset: .35em; }
p, ul, dl, pre { margin: 0 0 1rem; }

.skip { position: absolute; left: -99rem; }
.skip:focus {
  left: 1rem; top: 1rem; z-index: 1; padding: .5rem 1rem;
  background: var(--accent); color: var(--paper); border-radius: .4rem;
}
.layout { max-width: 74rem; margin: 0 auto; padding: 0 clamp(1rem, 4vw, 2.5rem); }
header { padding: 3rem 0 1.5rem; border-bottom: 1px solid var(--line); }
header h1 { margin: 0; font-size: clamp(2.2rem, 7vw, 3.2rem); line-height: 1.1; letter-spacing: -.03em; }
header p { margin: .6rem 0 0; max-width: 44rem; font-size: 1.15rem; color: var(--quiet); }
nav { padding: 1.5rem 0; border-bottom: 1px solid var(--line); }
nav h2, h4 { font-size: .8rem; text-transform: uppercase; letter-spacing: .08em; color: var(--quiet); }
nav h2 { margin: 0 0 .5rem; }
nav ul { margin: 0; padding: 0; list-style: none; columns: 9rem; }
nav li { break-inside: avoid; }
nav a { display: inline-block; padding: .25rem 0; text-decoration: none; }
nav a:hover { text-decoration: underline; }
main { max-width: 47rem; padding: 1rem 0 4rem; }
footer { padding: 1.5rem 0 3rem; border-top: 1px solid var(--line); color: var(--quiet); font-size: .9rem; }
@media (min-width: 62rem) {
  .columns { display: grid; grid-template-columns: 12rem minmax(0, 47rem); gap: 4rem; }
  nav {
    border: 0; padding: 2.5rem 0; position: sticky; top: 0; align-self: start;
    max-height: 100vh; overflow-y: auto;
  }
  nav ul { columns: auto; }
}

h2, h3 { line-height: 1.25; letter-spacing: -.01em; }
main h2 { margin: 3rem 0 1rem; font-size: 1.65rem; }
main h3 { margin: 2.4rem 0 .6rem; font-size: 1.15rem; }
.here { color: var(--quiet); text-decoration: none; font-weight: 400; opacity: 0; }
:is(h2, h3):hover .here, .here:focus { opacity: 1; }
section:target > :is(h2, h3) { box-shadow: -.6rem 0 0 var(--paper), -.9rem 0 0 var(--accent); }
.method, .status {
  display: inline-block; padding: .05em .5em; border-radius: .3em; font-size: .72em; font-weight: 700;
  letter-spacing: .04em; vertical-align: .12em; background: var(--accent-paper); color: var(--accent);
}
.status { background: var(--raised); color: var(--bad); }
.endpoint { border-top: 1px solid var(--line); }
.index + .endpoint { border: 0; }
.endpoint h3 { font-size: 1.2rem; }
.endpoint h3 code { font-size: 1em; }
.index, .trials { padding: 0; list-style: none; }
.index li {
  display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .3rem 0; border-bottom: 1px solid var(--line);
}
.index li > :first-child { flex: 0 0 13rem; }
.trials li { padding: .15rem 0; }
.trials span { color: var(--quiet); }
.lead { font-weight: 600; margin-bottom: .2rem; }
.quiet { color: var(--quiet); font-size: .92rem; }
h4 { margin: 1.4rem 0 .5rem; }
.kind { margin: -.4rem 0 .7rem; }

pre {
  padding: .8rem 1rem; background: var(--raised); border: 1px solid var(--line); border-radius: .5rem;
  white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.5;
}
pre code { font-size: .85rem; }
.command code { user-select: all; }
.command code::before { content: "$ "; color: var(--quiet); }
.parameters { display: grid; grid-template-columns: 9rem minmax(0, 1fr); }
.parameters dt { padding-top: .6rem; border-top: 1px solid var(--line); font-weight: 600; }
.parameters dd { margin: 0; padding: .6rem 0; border-top: 1px solid var(--line); }
.parameters dd p { margin: 0; }
.parameters dt span { display: block; font-weight: 400; }
@media (max-width: 34rem) {
  .parameters { grid-template-columns: minmax(0, 1fr); }
  .parameters dt span { display: inline; }
  .parameters dd { border: 0; padding-top: .1rem; }
  .index li > :first-child { flex-basis: 100%; }
}
.wide { overflow-x: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
caption { text-align: left; color: var(--quiet); font-size: .9rem; padding-bottom: .4rem; }
th, td {
  text-align: left; vertical-align: top; padding: .45rem 1rem .45rem 0;
  border-bottom: 1px solid var(--line);
}
td code, th code { white-space: nowrap; }
thead th { font-size: .85rem; color: var(--quiet); font-weight: 600; }
tbody th { font-weight: 400; white-space: nowrap; }
tr:target { background: var(--accent-paper); }
@media print { nav, .skip, .here { display: none; } }
"""
