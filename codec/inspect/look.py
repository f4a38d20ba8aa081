"""What a page looks like, and its one script. Knows classes and ids of `codec.inspect.pages`; nothing of
files."""

STYLE = """
:root { color-scheme: light dark; --ground: #fbfaf8; --paper: #fff; --ink: #1d2126; --soft: #5c6670;
  --line: #dfdcd5; --accent: #2a6fae; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --paper: #1d2125; --ink: #e8e6e1;
  --soft: #a0a8b0; --line: #343a40; --accent: #7db7ea; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 56px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 4px; }
p { margin: 0 0 10px; }
.lead { font-size: 1.1rem; color: var(--soft); margin: 4px 0 20px; }
.lead b { color: var(--ink); }
.note, figcaption, .how { color: var(--soft); font-size: .9rem; }
.note { border-left: 3px solid var(--accent); padding: 2px 0 2px 12px; margin: 0 0 14px; }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); gap: 16px;
  margin-bottom: 16px; }
.pair > section { margin: 0; }
.cards { columns: 2 400px; column-gap: 16px; }
.cards > section { break-inside: avoid; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px;
  margin: 0 0 16px; min-width: 0; }
figure { margin: 0; }
figure img, .frames { display: block; width: 100%; height: auto; border-radius: 6px;
  background: repeating-conic-gradient(#b8b8b8 0% 25%, #e4e4e4 0% 50%) 0 0 / 16px 16px; }
figcaption { margin-top: 8px; }
.pixels { image-rendering: pixelated; }
figure img.pixels { max-width: 320px; }
svg { display: block; width: 100%; height: auto; max-width: 560px; margin: 8px 0; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; vertical-align: top; padding: 4px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
tr:last-child > * { border-bottom: 0; }
th { font-weight: 500; color: var(--soft); width: 9.5em; padding-right: 12px; overflow-wrap: normal; }
.frames { position: relative; max-width: 528px; overflow: hidden; }
.frames img { display: block; width: 100%; height: auto; background: none; border-radius: 0; }
.frames img[hidden] { display: none; }
.slider { display: flex; gap: 12px; align-items: center; margin: 12px 0 2px; max-width: 528px; }
.slider label { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.slider input { flex: 1; min-width: 0; accent-color: var(--accent); height: 28px; }
button { font: inherit; color: var(--ink); background: var(--ground); border: 1px solid var(--line);
  border-radius: 6px; padding: 4px 14px; min-width: 5.2em; cursor: pointer; }
button:focus-visible, input:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
output { font-variant-numeric: tabular-nums; }
summary { cursor: pointer; color: var(--soft); }
footer { color: var(--soft); font-size: .85rem; margin-top: 20px; }
@media (max-width: 520px) { main { padding: 18px 12px 40px; } section { padding: 14px; }
  th { width: 7.5em; } }
@media print { section { break-inside: avoid; } .slider { display: none; } }
"""

# The moments are pictures, all but one of them hidden; #frame=7 shows the seventh.
SCRIPT = """
(() => {
  const slider = document.getElementById("moment");
  if (!slider) return;
  const frames = [...document.querySelectorAll(".frames img")];
  const said = document.getElementById("said"), play = document.getElementById("play");
  let timer = 0;
  const show = () => {
    frames.forEach((frame, i) => { frame.hidden = i !== slider.valueAsNumber - 1; });
    said.value = frames[slider.valueAsNumber - 1].dataset.said;
    slider.setAttribute("aria-valuetext", said.value);
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  const step = () => {
    if (slider.valueAsNumber >= frames.length) { stop(); return; }
    slider.value = slider.valueAsNumber + 1;
    show();
  };
  const jump = () => {
    const match = /^#frame=([0-9]+)$/.exec(location.hash);
    if (match) slider.value = match[1];
    show();
  };
  slider.addEventListener("input", () => { stop(); show(); });
  addEventListener("hashchange", jump);
  play.addEventListener("click", () => {
    if (timer) { stop(); return; }
    if (slider.valueAsNumber >= frames.length) { slider.value = 1; show(); }
    play.textContent = "Pause";
    timer = setInterval(step, 220);
  });
  document.getElementById("controls").hidden = false;
  jump();
})();
"""
