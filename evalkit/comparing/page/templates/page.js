"use strict";
// The list of items, filtered and searched, and tables that sort. Texts of models enter the page as text nodes only.
(() => {
  const PAGE = 50;
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const made = (name, text, ...classes) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    element.classList.add(...classes);
    return element;
  };

  // An item is [place, id, prompt, target, answers]; an answer is null or [score, response, prediction, error, prompt].
  const items = data.items.map(([place, id, prompt, target, answers]) => ({
    benchmark: data.places[place][0], subset: data.places[place][1], higher: data.places[place][2],
    beginning: data.beginnings[place], id, prompt, target, answers,
  }));
  const score = (item, run) => (item.answers[run] === null ? undefined : item.answers[run][0]);
  const failed = (item, run) => score(item, run) === null;

  const pairs = [];
  for (let b = 1; b < data.runs.length; b += 1) for (let a = 0; a < b; a += 1) pairs.push([b, a]);

  function fill(select, entries) {
    const before = select.value;
    select.replaceChildren(...entries.map(([value, text]) => {
      const option = made("option", text);
      option.value = value;
      return option;
    }));
    if (entries.some(([value]) => value === before)) select.value = before;
  }

  function fillDirections() {
    const pair = pairs[at("pair").value];
    const names = pair ? pair.map((run) => data.runs[run]) : [];
    fill(at("direction"), pair
      ? [["any", "every difference"], ["up", `${names[0]} scores higher`], ["down", `${names[1]} scores higher`],
         ["failed", "failed items"]]
      : [["any", "every difference"], ["failed", "failed items"]]);
  }

  function fillSubsets() {
    const benchmark = at("benchmark").value;
    const names = new Set(data.places.filter(([name]) => !benchmark || name === benchmark).map(([, subset]) => subset));
    fill(at("subset"), [["", "all"], ...[...names].filter(Boolean).sort().map((name) => [name, name])]);
    at("subset").parentElement.hidden = names.size < 2;
  }

  function wanted(item, pair, direction) {
    const runs = pair ?? data.runs.map((_, run) => run);
    if (direction === "failed") return runs.some((run) => failed(item, run));
    if (!pair) return true;
    const [a, b] = pair.map((run) => score(item, run));
    if (typeof a !== "number" || typeof b !== "number") return false;
    return direction === "up" ? a > b : direction === "down" ? a < b : a !== b;
  }

  function texts(item) {
    const own = item.answers.flatMap((answer) => (answer ? answer.slice(1) : []));
    return [item.id, item.subset, item.beginning, item.prompt, item.target, ...own];
  }

  function found() {
    const [benchmark, subset, direction] = ["benchmark", "subset", "direction"].map((id) => at(id).value);
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const pair = pairs[at("pair").value];
    return items.filter((item) => {
      if ((benchmark && item.benchmark !== benchmark) || (subset && item.subset !== subset)) return false;
      if (!wanted(item, pair, direction)) return false;
      if (!words.length) return true;
      item.searched ??= texts(item).join("\n").toLowerCase();
      return words.every((word) => item.searched.includes(word));
    });
  }

  const shown = (value) => (value === null ? "failed" : String(value));

  function badge(item, run) {
    const value = score(item, run);
    if (value === undefined) return null;
    const numbers = item.answers.map((answer) => answer?.[0]).filter((other) => typeof other === "number");
    const element = made("span", `${data.runs[run]} ${shown(value)}`, "score");
    if (value === null) element.classList.add("failed");
    else if (Math.max(...numbers) > Math.min(...numbers)) {
      if (value === Math.max(...numbers)) element.classList.add(item.higher ? "better" : "worse");
      if (value === Math.min(...numbers)) element.classList.add(item.higher ? "worse" : "better");
    }
    return element;
  }

  // The text with what was searched for marked, as text nodes and <mark> elements.
  function marked(name, text) {
    const element = made(name);
    const word = at("search").value.toLowerCase().trim().split(/\s+/)[0];
    const lower = text.toLowerCase();
    let from = 0;
    if (word && lower.length === text.length) {
      for (let place = lower.indexOf(word); place >= 0; place = lower.indexOf(word, from)) {
        element.append(text.slice(from, place), made("mark", text.slice(place, place + word.length)));
        from = place + word.length;
      }
    }
    element.append(text.slice(from));
    return element;
  }

  function part(into, heading, text) {
    if (!text) return;
    into.append(made("h4", heading), marked("pre", text));
  }

  function details(item) {
    const whole = made("div");
    const asked = made("div", undefined, "asked");
    whole.append(made("p", `${item.benchmark}${item.subset ? ` / ${item.subset}` : ""} · ${item.id}`, "soft"));
    if (item.beginning && item.prompt) {
      const fold = made("details");
      fold.append(made("summary", "what all prompts of this subset begin with"), marked("pre", item.beginning));
      asked.append(fold);
    }
    part(asked, "Prompt", item.prompt);
    part(asked, "Target", item.target);
    const answers = made("div", undefined, "answers");
    item.answers.forEach((answer, run) => {
      if (!answer) return;
      const section = made("section");
      const heading = made("h4");
      heading.append(badge(item, run));
      section.append(heading);
      const [, response, prediction, error, prompt] = answer;
      part(section, "Prompt", prompt);
      part(section, "Failed", error);
      part(section, "Answer", response);
      if (prediction !== response) part(section, "Read as", prediction);
      answers.append(section);
    });
    whole.append(asked, answers);
    return whole;
  }

  function row(item) {
    const line = made("li");
    const fold = made("details");
    const summary = made("summary");
    const lines = item.prompt.trim().split("\n").map((text) => text.trim()).filter(Boolean);
    const longest = lines.reduce((a, b) => (b.length > a.length ? b : a), "");
    summary.append(made("span", longest.slice(0, 160) || item.id, "about"));
    item.answers.forEach((_, run) => {
      const element = badge(item, run);
      if (element) summary.append(element);
    });
    fold.append(summary);
    fold.addEventListener("toggle", () => {
      if (fold.open && fold.children.length === 1) fold.append(details(item));
    });
    line.append(fold);
    return line;
  }

  let current = [];
  let first = 0;

  function draw() {
    const last = Math.min(first + PAGE, current.length);
    at("list").replaceChildren(...current.slice(first, last).map(row));
    at("count").textContent = `${current.length} of ${items.length} items`;
    at("pages").hidden = current.length <= PAGE;
    at("where").textContent = current.length ? `${first + 1} to ${last}` : "";
    at("previous").disabled = first === 0;
    at("next").disabled = last === current.length;
  }

  function update() {
    current = found();
    first = 0;
    draw();
  }

  function turn(by) {
    first += by;
    draw();
    at("count").scrollIntoView();
  }

  function prepareItems() {
    at("no-script").hidden = true;
    if (!items.length) return;
    at("filters").hidden = false;
    const every = pairs.length > 1 ? [["", "any two"]] : [];
    fill(at("pair"), [...every, ...pairs.map(([b, a], index) => [String(index), `${data.runs[b]}, ${data.runs[a]}`])]);
    const benchmarks = [...new Set(data.places.map(([name]) => name))];
    fill(at("benchmark"), [["", "all"], ...benchmarks.map((name) => [name, name])]);
    at("benchmark").parentElement.hidden = benchmarks.length < 2;
    at("pair").parentElement.hidden = data.runs.length < 2;
    fillDirections();
    fillSubsets();
    at("pair").addEventListener("change", () => { fillDirections(); update(); });
    at("benchmark").addEventListener("change", () => { fillSubsets(); update(); });
    for (const id of ["direction", "subset"]) at(id).addEventListener("change", update);
    let timer;
    at("search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(update, 120); });
    at("filters").addEventListener("submit", (event) => event.preventDefault());
    at("previous").addEventListener("click", () => turn(-PAGE));
    at("next").addEventListener("click", () => turn(PAGE));
    update();
  }

  // A column of numbers sorts by them ("+0.1", "<0.0001", "[+0.1, +0.2]", "3:2"), any other by its text.
  function key(cell) {
    const number = parseFloat(cell.textContent.replace(/^[[<]/, ""));
    return Number.isNaN(number) ? cell.textContent : number;
  }

  function compared(a, b) {
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  function prepareTable(table) {
    const headings = [...table.tHead.rows[0].cells].filter((cell) => !cell.classList.contains("drawn"));
    headings.forEach((heading, column) => {
      const button = made("button", heading.textContent);
      button.type = "button";
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        for (const other of headings) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => (up ? 1 : -1) * compared(key(a.cells[column]), key(b.cells[column])));
        table.tBodies[0].append(...rows);
      });
    });
  }

  document.querySelectorAll("table.sortable").forEach(prepareTable);
  prepareItems();
})();
