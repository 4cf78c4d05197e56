"use strict";

const COLORS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00"];
const SVG = "http://www.w3.org/2000/svg";
const NO_ANSWER = "The program does not answer. Is it still running?";
const find = (id) => document.getElementById(id);
let maxMegabytes = 20;
let latest = 0; // number of the newest request: an answer to an earlier one is not shown

/** An element with text and children; attributes by name. Text is never parsed as HTML. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function makeSvg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

async function ask(path, body) {
  const number = ++latest;
  document.body.classList.add("busy"); // dims the answer before, until this one comes
  find("labels").replaceChildren(make("p", { class: "note" }, "Computing …"));
  let answer;
  try {
    const response = await fetch(path, { method: "POST", body });
    answer = await response.json();
  } catch {
    answer = { error: NO_ANSWER };
  }
  if (number === latest) show(answer);
}

function askFile(file) {
  if (file.size > maxMegabytes * 2 ** 20) {
    latest++;
    show({ error: `${file.name} is too large: the maximum is ${maxMegabytes} MB.` });
  } else {
    ask("api/answer", file);
  }
}

function show(answer) {
  document.body.classList.remove("busy");
  find("searches").replaceChildren();
  if (answer.error) {
    clearPicture();
    find("remove").hidden = false;
    find("labels").replaceChildren(make("p", { class: "wrong", role: "alert" }, answer.error));
    return;
  }
  showPicture(answer);
  find("labels").replaceChildren(...(answer.boxes ? boxList(answer) : labelBars(answer)));
  find("searches").replaceChildren(...answer.searches.map(searchSection));
}

function showPicture(answer) {
  find("picture").src = answer.image;
  find("hint").hidden = true;
  find("frame").hidden = find("remove").hidden = false;
  const explanation = answer.explanation;
  find("heat-switch").hidden = !(explanation && explanation.heat);
  find("heat-note").textContent = explanation ? explanation.note : "";
  if (explanation && explanation.heat) find("heat").src = explanation.heat;
  showHeat();
  drawBoxes(answer);
}

/** The map, over a gray picture, and its caption with it; without a map, the note that says how to enable it. */
function showHeat() {
  const available = !find("heat-switch").hidden;
  find("heat").hidden = !available || !find("show-heat").checked;
  find("frame").classList.toggle("mapped", !find("heat").hidden);
  find("heat-note").hidden = !find("heat-note").textContent || (available && find("heat").hidden);
}

function clearPicture() {
  document.body.classList.remove("busy");
  for (const id of ["frame", "remove", "heat", "heat-switch", "heat-note"]) find(id).hidden = true;
  find("hint").hidden = false;
  find("file").value = "";
  find("labels").replaceChildren();
  find("searches").replaceChildren();
}

function labelBars(answer) {
  const bars = make("div", { class: "bars" });
  for (const label of answer.labels) {
    const right = answer.correct && label.number === answer.correct.number;
    const bar = makeSvg("svg", { class: "bar", preserveAspectRatio: "none", viewBox: "0 0 100 1", "aria-hidden": "true" });
    bar.append(makeSvg("rect", { width: 100 * label.probability, height: 1 }));
    bars.append(
      make("span", right ? { class: "true" } : {}, (right ? "✓ " : "") + label.name),
      bar,
      make("span", { class: "share" }, `${(100 * label.probability).toFixed(1)} %`),
    );
  }
  const correct = answer.correct ? `Correct label: ${answer.correct.name}. ` : "";
  return [make("h2", {}, "Most probable labels"), bars, make("p", { class: "note" }, correct + answer.note)];
}

function boxColor(answer, name) {
  const names = [...new Set(answer.boxes.map((box) => box.name))];
  return COLORS[names.indexOf(name) % COLORS.length];
}

function drawBoxes(answer) {
  const drawing = find("boxes");
  drawing.toggleAttribute("hidden", !answer.boxes); // an SVG element has no property of that name
  drawing.replaceChildren();
  if (!answer.boxes) return;
  drawing.setAttribute("viewBox", `0 0 ${answer.width} ${answer.height}`);
  const size = Math.max(answer.width, answer.height) / 25;
  for (const [index, box] of answer.boxes.entries()) {
    const place = { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top };
    const number = makeSvg("text", { x: box.left + size / 4, y: box.top + size, "font-size": size });
    number.append(index + 1);
    drawing.append(makeSvg("rect", { ...place, stroke: boxColor(answer, box.name) }), number);
  }
}

function boxList(answer) {
  const bars = make("div", { class: "bars found" });
  for (const [index, box] of answer.boxes.entries()) {
    const swatch = makeSvg("svg", { class: "swatch", viewBox: "0 0 1 1", "aria-hidden": "true" });
    swatch.append(makeSvg("rect", { width: 1, height: 1, fill: boxColor(answer, box.name) }));
    bars.append(swatch, make("span", {}, `${index + 1}. ${box.name}`),
      make("span", { class: "share" }, box.confidence.toFixed(2)));
  }
  const title = answer.boxes.length ? "Boxes, with their confidence" : "No box is confident enough";
  return [make("h2", {}, title), bars, make("p", { class: "note" }, answer.note)];
}

function searchSection(search) {
  const near = make("div", { class: "near" });
  for (const one of search.near) {
    near.append(
      make("figure", {}, make("img", { src: one.image, alt: one.name, title: one.file }),
        make("figcaption", {}, one.name, make("span", {}, one.distance))),
    );
  }
  return make("section", { class: "search" }, make("h2", {}, search.title), near, make("p", { class: "note" }, search.note));
}

async function start() {
  let about;
  try {
    about = await (await fetch("api/about")).json();
  } catch {
    show({ error: NO_ANSWER });
    return;
  }
  document.title = `${about.title} · alexnet_pl`;
  find("title").textContent = about.title;
  find("description").textContent = about.description;
  find("example").hidden = !about.has_examples;
  maxMegabytes = about.max_megabytes;
  find("hint").textContent += ` At most ${maxMegabytes} MB.`;
}

const drop = find("drop");
find("file").addEventListener("change", (event) => event.target.files[0] && askFile(event.target.files[0]));
find("example").addEventListener("click", () => ask("api/example"));
find("remove").addEventListener("click", () => { latest++; clearPicture(); });
find("show-heat").addEventListener("change", showHeat);
for (const name of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.toggle("over", name === "dragover"); });
}
for (const name of ["dragover", "drop"]) { // beside the field, the browser would open the file in place of the page
  document.addEventListener(name, (event) => event.preventDefault());
}
drop.addEventListener("drop", (event) => event.dataTransfer.files[0] && askFile(event.dataTransfer.files[0]));
document.addEventListener("paste", (event) => event.clipboardData.files[0] && askFile(event.clipboardData.files[0]));
start();
