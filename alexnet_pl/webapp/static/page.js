"use strict";

const COLORS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00"];
const SVG = "http://www.w3.org/2000/svg";
const NO_ANSWER = "The program does not answer. Start it again, then reload this page.";
const find = (id) => document.getElementById(id);
let maxMegabytes = 20;
let current = new AbortController(); // of the newest request: an answer to an earlier one is not shown

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

/** Cancel the request in progress, and return the controller of the next one. */
function supersede() {
  current.abort();
  current = new AbortController();
  return current;
}

async function ask(path, body, name) {
  const mine = supersede();
  document.body.classList.add("busy"); // dims the answer before, until this one comes
  find("example").setAttribute("aria-disabled", "true");
  find("clear").hidden = false;
  find("labels").replaceChildren(
    make("p", { class: "note" }, `Computing: ${name} …`), make("progress", { "aria-label": "Computing" }));
  const answer = await fetchJson(path, { method: "POST", body, signal: mine.signal });
  if (mine === current) show(answer, name);
}

/** JSON of the program, or {error} if it does not answer or fails without giving a reason. */
async function fetchJson(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    return { error: NO_ANSWER };
  }
  try {
    return await response.json();
  } catch {
    return { error: `The program failed (${response.status} ${response.statusText}). Its terminal shows the reason.` };
  }
}

/** Ask for the first of the files that were chosen, dropped or pasted. */
function askFirst(files) {
  const file = files[0];
  const name = files.length > 1 ? `${file.name}, the first of ${files.length} files` : file.name;
  if (file.size > maxMegabytes * 2 ** 20) fail(`The file is too large: at most ${maxMegabytes} MB.`, name);
  else ask("api/answer", file, name);
}

function fail(error, name) {
  supersede();
  show({ error }, name);
}

function show(answer, name) {
  clear();
  find("clear").hidden = false;
  if (answer.error) {
    find("labels").replaceChildren(make("p", { class: "wrong", role: "alert" }, make("strong", {}, name), answer.error));
    return;
  }
  showPicture(answer, name);
  find("labels").replaceChildren(...(answer.boxes ? boxList(answer) : labelBars(answer)));
  find("searches").replaceChildren(...answer.searches.map(searchSection));
}

function showPicture(answer, name) {
  find("picture").src = answer.image;
  find("hint").hidden = true;
  find("frame").hidden = find("caption").hidden = false;
  const seen = answer.sees_whole ? "; the network sees the whole image" : ", as the network sees it";
  const center = `: its center, ${answer.width} × ${answer.height} pixels${seen}`;
  find("caption").textContent = name + (answer.boxes ? "" : center);
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

function clear() {
  document.body.classList.remove("busy");
  find("example").removeAttribute("aria-disabled");
  for (const id of ["frame", "caption", "clear", "heat", "heat-switch", "heat-note"]) find(id).hidden = true;
  find("hint").hidden = false;
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
      make("figure", {}, make("img", { src: one.image, alt: one.file, title: one.file }),
        make("figcaption", {}, one.name, make("span", {}, one.distance))),
    );
  }
  return make("section", { class: "search" }, make("h2", {}, search.title), near, make("p", { class: "note" }, search.note));
}

async function start() {
  const about = await fetchJson("api/about");
  if (about.error) {
    show(about, "");
    return;
  }
  document.title = `${about.title} · alexnet_pl`;
  find("title").textContent = about.title;
  find("description").textContent = about.description;
  find("example").hidden = !about.has_examples;
  maxMegabytes = about.max_megabytes;
  find("hint").textContent += ` At most ${maxMegabytes} MB.`;
}

find("file").addEventListener("change", (event) => {
  const files = [...event.target.files];
  event.target.value = ""; // otherwise choosing the same file again would be no change
  if (files.length > 0) askFirst(files);
});
find("example").addEventListener("click", (event) => {
  if (!event.target.hasAttribute("aria-disabled")) ask("api/example", undefined, "Random validation image");
});
find("clear").addEventListener("click", () => {
  supersede();
  clear();
  find("file").focus(); // the button that had it is hidden now
});
find("show-heat").addEventListener("change", showHeat);
document.addEventListener("dragover", (event) => { // anywhere: the browser would open the file in place of the page
  event.preventDefault();
  find("drop").classList.add("over");
});
document.addEventListener("dragstart", (event) => event.preventDefault()); // its own pictures are no input
document.addEventListener("dragleave", (event) => event.relatedTarget || find("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  const { files, types } = event.dataTransfer;
  if (files.length > 0) askFirst(files);
  else if (types.includes("text/uri-list")) fail("This is a link. Save its image as a file, or copy and paste it.", "");
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length > 0) askFirst(event.clipboardData.files);
  else if (find("clear").hidden) fail("The clipboard holds no image.", ""); // an answer stays
});
start();
