"use strict";
// Plays the cines of a page: pick a clip, watch its frames, and see beside them what was said of each frame.
for (const root of document.querySelectorAll(".cines")) {
  const { media, series, cines } = JSON.parse(document.getElementById(root.dataset.source).textContent);
  const find = (selector) => root.querySelector(selector);
  const player = find(".player"), canvas = find("canvas"), button = find(".play"), range = find("input"), shown = find("output");
  const colours = ["--blue", "--orange", "--green", "--pink"], dashes = ["none", "7 3", "2 3", "9 3 2 3"];
  const chart = { width: 360, height: 150, left: 24, right: 6, top: 8, bottom: 20 };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const usualStep = 0.05; // seconds, where the frames' times are not known
  let clip = cines[0], pictures = [], frame = 0, timer = null, cursor = null;

  const svg = (name, attributes, parent) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  };
  const html = (name, text, parent) => {
    const element = document.createElement(name);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const source = (picture) => `data:${media};base64,${picture}`;
  const stroke = (i) => `stroke:var(${colours[i % 4]});stroke-dasharray:${dashes[i % 4]};stroke-width:2;fill:none`;
  const time = (i) => clip.times[i] ?? i * usualStep;
  const x = (i) => {
    const start = time(0), span = time(clip.frames.length - 1) - start || 1;
    return chart.left + ((time(i) - start) / span) * (chart.width - chart.left - chart.right);
  };
  const y = (score) => chart.top + (1 - score) * (chart.height - chart.top - chart.bottom);

  function draw() {
    const picture = pictures[frame];
    if (picture.complete && picture.naturalWidth) {
      if (canvas.width !== picture.naturalWidth || canvas.height !== picture.naturalHeight) {
        canvas.width = picture.naturalWidth;
        canvas.height = picture.naturalHeight;
      }
      canvas.getContext("2d").drawImage(picture, 0, 0);
    }
    const at = `${time(frame).toFixed(2)} s`;
    range.value = frame;
    range.setAttribute("aria-valuetext", `frame ${frame + 1} of ${clip.frames.length}, ${at}`);
    shown.textContent = `frame ${frame + 1}/${clip.frames.length}, ${at}`;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(frame));
    root.querySelectorAll(".legend b").forEach((cell) => {
      const score = clip.scores[cell.dataset.series][frame];
      cell.textContent = score === null ? "\u2013" : score.toFixed(2);
    });
  }

  function drawChart() {
    const { width, height, left, right } = chart;
    const label = `probability of each answer over ${clip.frames.length} frames`;
    const plot = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    const words = "font-size:10px;fill:var(--quiet)";
    for (const level of [0, 0.5, 1]) {
      svg("line", { x1: left, x2: width - right, y1: y(level), y2: y(level), style: "stroke:var(--line)" }, plot);
      svg("text", { x: left - 4, y: y(level) + 3, "text-anchor": "end", style: words }, plot).textContent = level;
    }
    const last = clip.frames.length - 1;
    svg("text", { x: left, y: height - 5, style: words }, plot).textContent = `${time(0).toFixed(1)} s`;
    svg("text", { x: width - right, y: height - 5, "text-anchor": "end", style: words }, plot).textContent =
      `${time(last).toFixed(1)} s`;
    clip.scores.forEach((scores, i) => {
      // A frame of which nothing was said leaves a gap, and a lone one a dot.
      let path = "";
      scores.forEach((score, at) => {
        if (score !== null) path += `${path && (scores[at - 1] ?? null) !== null ? "L" : "M"}${x(at)} ${y(score)}`;
      });
      if (path) svg("path", { d: scores.length === 1 ? `${path}h1` : path, style: stroke(i) }, plot);
    });
    cursor = svg("line", { y1: chart.top, y2: height - chart.bottom, style: "stroke:var(--ink);stroke-width:1.5" }, plot);
    plot.addEventListener("click", (event) => {
      const place = (event.offsetX / plot.clientWidth) * width;
      const near = clip.frames.map((_, i) => Math.abs(x(i) - place));
      play(false);
      show(near.indexOf(Math.min(...near)));
    });
    find(".chart").replaceChildren(plot);
    find(".legend").replaceChildren();
    series.forEach((name, i) => {
      if (!clip.scores[i].length) return;
      const item = html("li", "", find(".legend"));
      svg("path", { d: "M0 4H22", style: stroke(i) }, svg("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, item));
      html("span", name, item);
      html("b", "", item).dataset.series = i;
    });
  }

  function show(number) {
    frame = (number + clip.frames.length) % clip.frames.length;
    draw();
  }
  function play(on) {
    clearTimeout(timer);
    timer = null;
    button.textContent = on ? "Pause" : "Play";
    if (!on) return;
    const next = (frame + 1) % clip.frames.length;
    const step = next ? time(next) - time(frame) : usualStep;
    timer = setTimeout(() => { show(next); play(true); }, 1000 * Math.min(Math.max(step, 0.02), 1));
  }
  function pick(number) {
    const picks = find(".picks").children;
    for (const [i, other] of [...picks].entries()) other.setAttribute("aria-pressed", String(i === number));
    clip = cines[number];
    frame = 0;
    pictures = clip.frames.map((data) => {
      const picture = new Image();
      picture.onload = () => { if (picture === pictures[frame]) draw(); };
      picture.src = source(data);
      return picture;
    });
    range.max = clip.frames.length - 1;
    canvas.setAttribute("aria-label", `frame of ${clip.name}`);
    find(".name").textContent = clip.name;
    find(".answers").replaceChildren();
    for (const [what, answer] of clip.facts) { html("dt", what, find(".answers")); html("dd", answer, find(".answers")); }
    drawChart();
    draw();
  }

  cines.forEach((cine, number) => {
    const choice = html("button", "", find(".picks"));
    choice.type = "button";
    const picture = choice.appendChild(new Image());
    picture.alt = "";
    picture.src = source(cine.frames[cine.frames.length >> 1]);
    html("span", cine.name, choice);
    choice.addEventListener("click", () => { pick(number); play(!calm.matches); });
  });
  button.addEventListener("click", () => play(timer === null));
  range.addEventListener("input", () => { play(false); show(Number(range.value)); });
  player.addEventListener("keydown", (event) => {
    if (event.target !== player) return; // the button and the slider have keys of their own
    const keys = { ArrowRight: () => show(frame + 1), ArrowLeft: () => show(frame - 1), " ": () => play(timer === null) };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  pick(0);
}
